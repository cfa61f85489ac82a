-- CreateIndex
CREATE INDEX "AuditRecord_clusterId_id_idx" ON "AuditRecord"("clusterId", "id");

-- CreateIndex
CREATE INDEX "AuditRecord_clusterName_id_idx" ON "AuditRecord"("clusterName", "id");
