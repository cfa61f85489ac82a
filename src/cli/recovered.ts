import { systemCaller } from '../domain/access/system-caller.ts';
import { record } from '../domain/audit.ts';
import { initialStatus } from '../domain/clusters/cluster.ts';
import { advancePastLostHistory } from '../storage/postgres/lost-history.ts';
import { StartupError } from '../storage/startup-error.ts';
import type { Command } from './command.ts';
import { withDatabase } from './database.ts';

/** What `restore` does with a file, for a database that PostgreSQL's own tools have put back. */
export const recovered: Command = {
  positionals: [],
  about:
    'lets a PostgreSQL database that went back, by pg_restore or a failover, go on beyond what was given out; with every server stopped',
  options: {},
  run: async ({ config }) => {
    if ('file' in config.database) throw new StartupError('DATABASE_URL is not given: restore does this by itself.');
    const at = new Date();
    const counts = await withDatabase(config, (database) =>
      database.write(['access', 'registry', 'status'], async (tx) => {
        await advancePastLostHistory(tx);
        await tx.cluster.updateMany({
          where: { state: { notIn: ['DISABLED', 'UNUSABLE'] } },
          data: {
            ...initialStatus({ enabled: true, problem: null }),
            ...{ stateSince: at, observedAt: null, latencyMs: null, version: null },
          },
        });
        const [clusters, keys, people, roles] = [
          ...[await tx.cluster.count(), await tx.apiKey.count()],
          ...[await tx.user.count(), await tx.role.count()],
        ];
        const changes = { clusters: { to: clusters }, apiKeys: { to: keys } };
        await record(tx, systemCaller('command line'), { action: 'database.recover', at, changes });
        return { clusters, keys, people, roles };
      }),
    );
    process.stdout.write(
      `${counts.clusters} clusters go on from here. ${counts.keys} API keys, ${counts.people} people and ${counts.roles} defined roles are as they were then: see keys list, users list and the query roles, and take away again what was taken away since.\n`,
    );
    return 0;
  },
};
