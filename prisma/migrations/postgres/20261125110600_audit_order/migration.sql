-- Ids of audit records are given in the order of commits: whoever inserts waits until those before have ended, and takes the
-- ids after that. Else a lower id could be committed after a higher one, and who reads on from the newest never saw it.
CREATE FUNCTION "audit_in_order"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('kitestring audits'), hashtext(TG_TABLE_SCHEMA));
  RETURN NULL;
END $$;

CREATE TRIGGER "AuditRecord_in_order" BEFORE INSERT ON "AuditRecord" FOR EACH STATEMENT EXECUTE FUNCTION "audit_in_order"();
