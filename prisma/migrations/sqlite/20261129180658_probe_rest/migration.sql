-- AlterTable
ALTER TABLE "ProbeLease" ADD COLUMN "askFrom" DATETIME;
ALTER TABLE "ProbeLease" ADD COLUMN "askedUntil" DATETIME;
