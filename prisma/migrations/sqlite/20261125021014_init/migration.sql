-- CreateTable
CREATE TABLE "Cluster" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "uid" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT NOT NULL DEFAULT '',
    "enabled" BOOLEAN NOT NULL DEFAULT true,
    "isDefault" BOOLEAN NOT NULL DEFAULT false,
    "inCluster" BOOLEAN NOT NULL DEFAULT false,
    "prometheusURL" TEXT NOT NULL DEFAULT '',
    "searchText" TEXT NOT NULL,
    "apiServer" TEXT,
    "credentialKind" TEXT NOT NULL,
    "credentialExpiresAt" DATETIME,
    "caExpiresAt" DATETIME,
    "credentialProblem" TEXT,
    "revision" INTEGER NOT NULL DEFAULT 1,
    "credentialsVersion" INTEGER NOT NULL DEFAULT 1,
    "createdAt" DATETIME NOT NULL,
    "updatedAt" DATETIME NOT NULL,
    "registryChange" INTEGER NOT NULL DEFAULT 0,
    "statusChange" INTEGER NOT NULL DEFAULT 0,
    "state" TEXT NOT NULL,
    "stateSince" DATETIME NOT NULL,
    "observedAt" DATETIME,
    "version" TEXT,
    "latencyMs" REAL,
    "faultCode" TEXT,
    "faultMessage" TEXT,
    "identity" TEXT,
    "otherIdentity" TEXT,
    "discoveredPrometheusURL" TEXT
);

-- CreateTable
CREATE TABLE "ClusterLabel" (
    "clusterId" INTEGER NOT NULL,
    "key" TEXT NOT NULL,
    "value" TEXT NOT NULL,
    "number" BIGINT,

    PRIMARY KEY ("clusterId", "key"),
    CONSTRAINT "ClusterLabel_clusterId_fkey" FOREIGN KEY ("clusterId") REFERENCES "Cluster" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- CreateTable
CREATE TABLE "ClusterTombstone" (
    "clusterId" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "uid" TEXT NOT NULL,
    "registryChange" INTEGER NOT NULL
);

-- CreateTable
CREATE TABLE "ProbeRound" (
    "replica" TEXT NOT NULL PRIMARY KEY,
    "finishedAt" DATETIME NOT NULL
);

-- CreateTable
CREATE TABLE "ClusterCredential" (
    "clusterId" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "sealed" TEXT NOT NULL,
    "keyId" TEXT NOT NULL,
    CONSTRAINT "ClusterCredential_clusterId_fkey" FOREIGN KEY ("clusterId") REFERENCES "Cluster" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- CreateTable
CREATE TABLE "ApiKey" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "name" TEXT NOT NULL,
    "hash" TEXT NOT NULL,
    "roles" JSONB NOT NULL,
    "weak" BOOLEAN NOT NULL DEFAULT false,
    "source" TEXT NOT NULL,
    "disabled" BOOLEAN NOT NULL DEFAULT false,
    "createdAt" DATETIME NOT NULL,
    "expiresAt" DATETIME,
    "ownerId" INTEGER,
    "scopes" JSONB,
    "lastUsedAt" DATETIME,
    CONSTRAINT "ApiKey_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- CreateTable
CREATE TABLE "User" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "uid" TEXT NOT NULL,
    "username" TEXT NOT NULL,
    "name" TEXT NOT NULL DEFAULT '',
    "passwordHash" TEXT,
    "provider" TEXT NOT NULL DEFAULT 'password',
    "subject" TEXT,
    "disabled" BOOLEAN NOT NULL DEFAULT false,
    "createdAt" DATETIME NOT NULL
);

-- CreateTable
CREATE TABLE "UserRole" (
    "userId" INTEGER NOT NULL,
    "role" TEXT NOT NULL,

    PRIMARY KEY ("userId", "role"),
    CONSTRAINT "UserRole_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- CreateTable
CREATE TABLE "Role" (
    "name" TEXT NOT NULL PRIMARY KEY,
    "description" TEXT NOT NULL DEFAULT '',
    "actions" JSONB NOT NULL,
    "clusters" JSONB,
    "createdAt" DATETIME NOT NULL
);

-- CreateTable
CREATE TABLE "Session" (
    "hash" TEXT NOT NULL PRIMARY KEY,
    "userId" INTEGER NOT NULL,
    "createdAt" DATETIME NOT NULL,
    "expiresAt" DATETIME NOT NULL,
    "endsAt" DATETIME NOT NULL,
    CONSTRAINT "Session_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);

-- CreateTable
CREATE TABLE "SignInFailure" (
    "key" TEXT NOT NULL PRIMARY KEY,
    "failures" INTEGER NOT NULL,
    "lastAt" DATETIME NOT NULL
);

-- CreateTable
CREATE TABLE "UsedSignIn" (
    "hash" TEXT NOT NULL PRIMARY KEY,
    "expiresAt" DATETIME NOT NULL
);

-- CreateTable
CREATE TABLE "AuditRecord" (
    "id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    "at" DATETIME NOT NULL,
    "actor" TEXT NOT NULL,
    "actorId" TEXT NOT NULL DEFAULT 'stranger',
    "actorName" TEXT NOT NULL DEFAULT '',
    "userId" INTEGER,
    "apiKeyId" INTEGER,
    "action" TEXT NOT NULL,
    "clusterUid" TEXT,
    "clusterId" INTEGER,
    "clusterName" TEXT,
    "requestId" TEXT,
    "address" TEXT,
    "outcome" TEXT NOT NULL DEFAULT 'DONE',
    "changes" JSONB NOT NULL
);

-- CreateTable
CREATE TABLE "Counter" (
    "name" TEXT NOT NULL PRIMARY KEY,
    "value" INTEGER NOT NULL DEFAULT 0
);

-- CreateIndex
CREATE UNIQUE INDEX "Cluster_uid_key" ON "Cluster"("uid");

-- CreateIndex
CREATE UNIQUE INDEX "Cluster_name_key" ON "Cluster"("name");

-- CreateIndex
CREATE INDEX "Cluster_createdAt_id_idx" ON "Cluster"("createdAt", "id");

-- CreateIndex
CREATE INDEX "Cluster_state_idx" ON "Cluster"("state");

-- CreateIndex
CREATE INDEX "Cluster_registryChange_idx" ON "Cluster"("registryChange");

-- CreateIndex
CREATE INDEX "Cluster_statusChange_idx" ON "Cluster"("statusChange");

-- CreateIndex
CREATE INDEX "Cluster_credentialExpiresAt_idx" ON "Cluster"("credentialExpiresAt");

-- CreateIndex
CREATE UNIQUE INDEX "Cluster_one_default" ON "Cluster"("isDefault") WHERE "isDefault" = true;

-- CreateIndex
CREATE INDEX "ClusterLabel_key_value_idx" ON "ClusterLabel"("key", "value");

-- CreateIndex
CREATE UNIQUE INDEX "ClusterTombstone_uid_key" ON "ClusterTombstone"("uid");

-- CreateIndex
CREATE INDEX "ClusterTombstone_registryChange_idx" ON "ClusterTombstone"("registryChange");

-- CreateIndex
CREATE INDEX "ClusterCredential_keyId_idx" ON "ClusterCredential"("keyId");

-- CreateIndex
CREATE UNIQUE INDEX "User_uid_key" ON "User"("uid");

-- CreateIndex
CREATE UNIQUE INDEX "User_username_key" ON "User"("username");

-- CreateIndex
CREATE UNIQUE INDEX "User_subject_key" ON "User"("subject");

-- CreateIndex
CREATE INDEX "UserRole_role_idx" ON "UserRole"("role");

-- CreateIndex
CREATE INDEX "Session_userId_idx" ON "Session"("userId");

-- CreateIndex
CREATE INDEX "Session_expiresAt_idx" ON "Session"("expiresAt");

-- CreateIndex
CREATE INDEX "SignInFailure_lastAt_idx" ON "SignInFailure"("lastAt");

-- CreateIndex
CREATE INDEX "UsedSignIn_expiresAt_idx" ON "UsedSignIn"("expiresAt");

-- CreateIndex
CREATE INDEX "AuditRecord_at_idx" ON "AuditRecord"("at");

-- CreateIndex
CREATE INDEX "AuditRecord_clusterUid_at_idx" ON "AuditRecord"("clusterUid", "at");

-- CreateIndex
CREATE INDEX "AuditRecord_outcome_idx" ON "AuditRecord"("outcome");

-- What is new: every writing transaction raises one of these rows first.
INSERT INTO "Counter" ("name", "value") VALUES ('registry', 0), ('status', 0), ('access', 0);
