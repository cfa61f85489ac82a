-- AlterTable
ALTER TABLE "ProbeLease" ADD COLUMN     "askFrom" TIMESTAMP(3),
ADD COLUMN     "askedUntil" TIMESTAMP(3);

-- AlterTable
ALTER TABLE "Replica" ADD COLUMN     "since" TIMESTAMP(3);
