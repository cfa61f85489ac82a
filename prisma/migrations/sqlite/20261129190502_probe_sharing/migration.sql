-- AlterTable
ALTER TABLE "ProbeLease" ADD COLUMN "askFrom" DATETIME;
ALTER TABLE "ProbeLease" ADD COLUMN "askedUntil" DATETIME;

-- AlterTable
ALTER TABLE "Replica" ADD COLUMN "since" DATETIME;
