-- DropTable
PRAGMA foreign_keys=off;
DROP TABLE "ProbeRound";
PRAGMA foreign_keys=on;

-- CreateTable
CREATE TABLE "Replica" (
    "id" TEXT NOT NULL PRIMARY KEY,
    "roundFinishedAt" DATETIME,
    "expiresAt" DATETIME
);

-- CreateTable
CREATE TABLE "ProbeLease" (
    "slot" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "holder" TEXT,
    "fence" INTEGER NOT NULL DEFAULT 0,
    "expiresAt" DATETIME,
    "loadMs" REAL NOT NULL DEFAULT 0
);
