import { join } from 'node:path';
import type { Config } from './config.ts';
import { VisibleClusters } from './domain/access/visible-clusters.ts';
import { ApiKeys } from './domain/accounts/api-keys.ts';
import { Roles } from './domain/accounts/roles.ts';
import { SignInLimits } from './domain/accounts/sign-in-limits.ts';
import { Users } from './domain/accounts/users.ts';
import { AuditLog } from './domain/audit/audit-log.ts';
import { sealedKeyIds } from './domain/credentials/sealed-kubeconfigs.ts';
import type { Database, DatabaseLocation } from './storage/database.ts';
import { type KeyRing, loadKeyRing } from './storage/key-file.ts';
import { openDatabase } from './storage/open-database.ts';
import { Seal } from './storage/seal.ts';

/** The database, and the services over it that need neither the seal keys nor a cluster. */
export type CoreServices = Awaited<ReturnType<typeof openCoreServices>>;

/** Opens the database and builds the services that the server and the command line share. Close the database. */
export async function openCoreServices(location: DatabaseLocation, options: { isServer?: boolean } = {}) {
  const database = await openDatabase(location, options);
  const now = () => new Date();
  const visible = new VisibleClusters(database);
  const auditLog = new AuditLog({ database, now, visible });
  const roles = new Roles({ database, audit: auditLog, now });
  const limits = new SignInLimits({ database });
  return {
    ...{ database, now, visible, roles, limits, auditLog },
    apiKeys: new ApiKeys({ database, roles, audit: auditLog, now }),
    users: new Users({ database, roles, limits, audit: auditLog, now }),
  };
}

/** The path of the key file, which is used if SEAL_KEY is not set. */
export function sealKeyFile({ dataDir }: Pick<Config, 'dataDir'>): string {
  return join(dataDir, 'seal-keys');
}

/**
 * Loads the seal keys. Throws a StartupError if a key that the data in the database needs is missing; with `isPartial`,
 * only if there is no key file.
 */
export async function loadSeal(
  config: Pick<Config, 'dataDir' | 'sealKey' | 'lostSealKeys'>,
  database: Database,
  { isPartial = false } = {},
): Promise<Pick<KeyRing, 'source' | 'warning'> & { seal: Seal }> {
  const { keys, reread, ...about } = await loadKeyRing({
    file: sealKeyFile(config),
    configured: config.sealKey,
    lost: config.lostSealKeys,
    sealedKeyIds: () => sealedKeyIds(database),
    isPartial,
  });
  return { seal: new Seal(keys, reread), ...about };
}
