import { systemCaller } from '../domain/access/system-caller.ts';
import { record } from '../domain/audit/record.ts';
import { resetRestoredStatuses } from '../domain/cluster-status.ts';
import { advancePastLostHistory } from '../storage/postgres/lost-history.ts';
import { StartupError } from '../storage/startup-error.ts';
import { command } from './command.ts';
import { withServices } from './database.ts';

/**
 * Prepares a PostgreSQL database for use after its own tools have restored it. For SQLite, `restore` does this itself.
 */
export const recovered = command({
  positionals: [],
  about:
    'prepares a PostgreSQL database that lost its latest changes, by pg_restore or a failover, for use; stop every server first',
  options: {},
  run: async ({ config }) => {
    if (config.database.file !== undefined)
      throw new StartupError('DATABASE_URL is not set: with SQLite, restore does this by itself.');
    const at = new Date();
    const counts = await withServices(config, ({ database }) =>
      database.write(['access', 'registry', 'status'], async (tx) => {
        await advancePastLostHistory(tx);
        await resetRestoredStatuses(tx, at);
        const [clusters, keys, users, roles] = [
          ...[await tx.cluster.count(), await tx.apiKey.count()],
          ...[await tx.user.count(), await tx.role.count()],
        ];
        const changes = { clusters: { to: clusters }, apiKeys: { to: keys } };
        await record(tx, systemCaller('command line'), { action: 'database.recover', at, changes });
        return { clusters, keys, users, roles };
      }),
    );
    process.stdout.write(
      `${counts.clusters} clusters are ready for use. ${counts.keys} API keys, ${counts.users} users and ${counts.roles} custom roles are in their recovered state: check keys list, users list and the query roles, and revoke again what was revoked since.\n`,
    );
    return 0;
  },
});
