-- AlterTable
ALTER TABLE "ProbeLease" ADD COLUMN     "askFrom" TIMESTAMP(3),
ADD COLUMN     "askedUntil" TIMESTAMP(3);
