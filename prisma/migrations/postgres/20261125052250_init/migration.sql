-- Text is compared byte by byte, as SQLite does: names sort alike on both, and a prefix uses the index.

-- CreateTable
CREATE TABLE "Cluster" (
    "id" SERIAL NOT NULL,
    "uid" TEXT COLLATE "C" NOT NULL,
    "name" TEXT COLLATE "C" NOT NULL,
    "description" TEXT COLLATE "C" NOT NULL DEFAULT '',
    "enabled" BOOLEAN NOT NULL DEFAULT true,
    "isDefault" BOOLEAN NOT NULL DEFAULT false,
    "inCluster" BOOLEAN NOT NULL DEFAULT false,
    "prometheusURL" TEXT COLLATE "C" NOT NULL DEFAULT '',
    "searchText" TEXT COLLATE "C" NOT NULL,
    "apiServer" TEXT COLLATE "C",
    "credentialKind" TEXT COLLATE "C" NOT NULL,
    "credentialExpiresAt" TIMESTAMP(3),
    "caExpiresAt" TIMESTAMP(3),
    "credentialProblem" TEXT COLLATE "C",
    "revision" INTEGER NOT NULL DEFAULT 1,
    "credentialsVersion" INTEGER NOT NULL DEFAULT 1,
    "createdAt" TIMESTAMP(3) NOT NULL,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    "registryChange" INTEGER NOT NULL DEFAULT 0,
    "statusChange" INTEGER NOT NULL DEFAULT 0,
    "state" TEXT COLLATE "C" NOT NULL,
    "stateSince" TIMESTAMP(3) NOT NULL,
    "observedAt" TIMESTAMP(3),
    "version" TEXT COLLATE "C",
    "latencyMs" DOUBLE PRECISION,
    "faultCode" TEXT COLLATE "C",
    "faultMessage" TEXT COLLATE "C",
    "identity" TEXT COLLATE "C",
    "otherIdentity" TEXT COLLATE "C",
    "discoveredPrometheusURL" TEXT COLLATE "C",

    CONSTRAINT "Cluster_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ClusterLabel" (
    "clusterId" INTEGER NOT NULL,
    "key" TEXT COLLATE "C" NOT NULL,
    "value" TEXT COLLATE "C" NOT NULL,
    "number" BIGINT,

    CONSTRAINT "ClusterLabel_pkey" PRIMARY KEY ("clusterId","key")
);

-- CreateTable
CREATE TABLE "ClusterTombstone" (
    "clusterId" INTEGER NOT NULL,
    "uid" TEXT COLLATE "C" NOT NULL,
    "registryChange" INTEGER NOT NULL,

    CONSTRAINT "ClusterTombstone_pkey" PRIMARY KEY ("clusterId")
);

-- CreateTable
CREATE TABLE "Replica" (
    "id" TEXT COLLATE "C" NOT NULL,
    "roundFinishedAt" TIMESTAMP(3),
    "expiresAt" TIMESTAMP(3),

    CONSTRAINT "Replica_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ProbeLease" (
    "slot" INTEGER NOT NULL,
    "holder" TEXT COLLATE "C",
    "fence" INTEGER NOT NULL DEFAULT 0,
    "expiresAt" TIMESTAMP(3),
    "loadMs" DOUBLE PRECISION NOT NULL DEFAULT 0,

    CONSTRAINT "ProbeLease_pkey" PRIMARY KEY ("slot")
);

-- CreateTable
CREATE TABLE "ClusterCredential" (
    "clusterId" INTEGER NOT NULL,
    "sealed" TEXT COLLATE "C" NOT NULL,
    "keyId" TEXT COLLATE "C" NOT NULL,

    CONSTRAINT "ClusterCredential_pkey" PRIMARY KEY ("clusterId")
);

-- CreateTable
CREATE TABLE "ApiKey" (
    "id" SERIAL NOT NULL,
    "name" TEXT COLLATE "C" NOT NULL,
    "hash" TEXT COLLATE "C" NOT NULL,
    "roles" JSONB NOT NULL,
    "weak" BOOLEAN NOT NULL DEFAULT false,
    "source" TEXT COLLATE "C" NOT NULL,
    "disabled" BOOLEAN NOT NULL DEFAULT false,
    "createdAt" TIMESTAMP(3) NOT NULL,
    "expiresAt" TIMESTAMP(3),
    "ownerId" INTEGER,
    "scopes" JSONB,
    "lastUsedAt" TIMESTAMP(3),

    CONSTRAINT "ApiKey_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "User" (
    "id" SERIAL NOT NULL,
    "uid" TEXT COLLATE "C" NOT NULL,
    "username" TEXT COLLATE "C" NOT NULL,
    "name" TEXT COLLATE "C" NOT NULL DEFAULT '',
    "passwordHash" TEXT COLLATE "C",
    "provider" TEXT COLLATE "C" NOT NULL DEFAULT 'password',
    "subject" TEXT COLLATE "C",
    "disabled" BOOLEAN NOT NULL DEFAULT false,
    "createdAt" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "User_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "UserRole" (
    "userId" INTEGER NOT NULL,
    "role" TEXT COLLATE "C" NOT NULL,

    CONSTRAINT "UserRole_pkey" PRIMARY KEY ("userId","role")
);

-- CreateTable
CREATE TABLE "Role" (
    "name" TEXT COLLATE "C" NOT NULL,
    "description" TEXT COLLATE "C" NOT NULL DEFAULT '',
    "actions" JSONB NOT NULL,
    "clusters" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "Role_pkey" PRIMARY KEY ("name")
);

-- CreateTable
CREATE TABLE "Session" (
    "hash" TEXT COLLATE "C" NOT NULL,
    "userId" INTEGER NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL,
    "expiresAt" TIMESTAMP(3) NOT NULL,
    "endsAt" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "Session_pkey" PRIMARY KEY ("hash")
);

-- CreateTable
CREATE TABLE "SignInFailure" (
    "key" TEXT COLLATE "C" NOT NULL,
    "failures" INTEGER NOT NULL,
    "lastAt" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "SignInFailure_pkey" PRIMARY KEY ("key")
);

-- CreateTable
CREATE TABLE "UsedSignIn" (
    "hash" TEXT COLLATE "C" NOT NULL,
    "expiresAt" TIMESTAMP(3) NOT NULL,

    CONSTRAINT "UsedSignIn_pkey" PRIMARY KEY ("hash")
);

-- CreateTable
CREATE TABLE "AuditRecord" (
    "id" SERIAL NOT NULL,
    "at" TIMESTAMP(3) NOT NULL,
    "actor" TEXT COLLATE "C" NOT NULL,
    "actorId" TEXT COLLATE "C" NOT NULL DEFAULT 'stranger',
    "actorName" TEXT COLLATE "C" NOT NULL DEFAULT '',
    "userId" INTEGER,
    "apiKeyId" INTEGER,
    "action" TEXT COLLATE "C" NOT NULL,
    "clusterUid" TEXT COLLATE "C",
    "clusterId" INTEGER,
    "clusterName" TEXT COLLATE "C",
    "requestId" TEXT COLLATE "C",
    "address" TEXT COLLATE "C",
    "outcome" TEXT COLLATE "C" NOT NULL DEFAULT 'DONE',
    "changes" JSONB NOT NULL,

    CONSTRAINT "AuditRecord_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Counter" (
    "name" TEXT COLLATE "C" NOT NULL,
    "value" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "Counter_pkey" PRIMARY KEY ("name")
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
CREATE UNIQUE INDEX "Cluster_one_default" ON "Cluster"("isDefault") WHERE ("isDefault" = true);

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

-- AddForeignKey
ALTER TABLE "ClusterLabel" ADD CONSTRAINT "ClusterLabel_clusterId_fkey" FOREIGN KEY ("clusterId") REFERENCES "Cluster"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ClusterCredential" ADD CONSTRAINT "ClusterCredential_clusterId_fkey" FOREIGN KEY ("clusterId") REFERENCES "Cluster"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ApiKey" ADD CONSTRAINT "ApiKey_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "UserRole" ADD CONSTRAINT "UserRole_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Session" ADD CONSTRAINT "Session_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- What is new: every writing transaction raises one of these rows first.
INSERT INTO "Counter" ("name", "value") VALUES ('registry', 0), ('status', 0), ('access', 0);


-- The slots that replicas share, held by nobody yet.
INSERT INTO "ProbeLease" ("slot") SELECT generate_series(0, 255);
