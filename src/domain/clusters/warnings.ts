import type { Transaction } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import type { Caller } from '../access/caller.ts';
import { canReadEveryCluster, readableClusters } from '../access/permissions.ts';

/** A problem that the caller should know about, although the change was made. */
export interface Warning {
  readonly kind: 'CREDENTIAL_UNUSABLE' | 'DUPLICATE_CLUSTER';
  readonly message: string;
}

/** Warns that the stored credential is unusable. */
export function credentialWarning(problem: string): Warning {
  return { kind: 'CREDENTIAL_UNUSABLE', message: `the credential is stored but cannot be used: ${problem}` };
}

interface NewCluster {
  readonly name: string;
  readonly apiServer: string | null;
  readonly identity?: string | null | undefined;
}

/** Most registered clusters that the warnings of one change or import name. */
const MAX_NAMED = 50;

/**
 * Warns about registered clusters that duplicate one being registered: same identity, if it is known, or same API server.
 * Names up to `MAX_NAMED` clusters, those with the same identity first; one more warning covers the rest. All clusters that
 * the caller may not read share one warning, without names, servers or a count.
 */
export async function findDuplicates(
  tx: Pick<Transaction, 'cluster'>,
  caller: Caller,
  registering: readonly NewCluster[],
): Promise<Warning[]> {
  const apiServers = registering.flatMap(({ apiServer }) => (apiServer ? [apiServer] : []));
  const identities = registering.flatMap(({ identity }) => (identity ? [identity] : []));
  const name = { notIn: registering.map(({ name }) => name) };
  const take = MAX_NAMED + 1;
  const find = (where: Prisma.ClusterWhereInput, take: number) =>
    tx.cluster.findMany({
      ...{ where: { AND: [{ name, ...where }, readableClusters(caller)] }, take, orderBy: { id: 'asc' } },
      select: { id: true, name: true, apiServer: true },
    });
  const sameIdentity = identities.length > 0 ? await find({ identity: { in: identities } }, take) : [];
  const id = { notIn: sameIdentity.map(({ id }) => id) };
  const sameServer =
    apiServers.length > 0 ? await find({ apiServer: { in: apiServers }, id }, take - sameIdentity.length) : [];
  const warnings = [
    ...sameIdentity.map(({ name }) => duplicate(name, 'is the same cluster')),
    ...sameServer.map(({ name, apiServer }) => duplicate(name, `has the same API server, ${apiServer}`)),
  ];
  const hidden = canReadEveryCluster(caller) ? [] : await findHidden(tx, caller, { name, apiServers, identities });
  if (warnings.length < take) return [...warnings, ...hidden];
  const message = 'more clusters that are registered have the same API server, or are the same cluster';
  return [...warnings.slice(0, MAX_NAMED), { kind: 'DUPLICATE_CLUSTER', message }, ...hidden];
}

async function findHidden(
  tx: Pick<Transaction, 'cluster'>,
  caller: Caller,
  wanted: { name: Prisma.StringFilter; apiServers: string[]; identities: string[] },
): Promise<Warning[]> {
  const { name, apiServers, identities } = wanted;
  const where = { name, OR: [{ apiServer: { in: apiServers } }, { identity: { in: identities } }] };
  const all = await tx.cluster.count({ where });
  const readable = await tx.cluster.count({ where: { AND: [where, readableClusters(caller)] } });
  if (all === readable) return [];
  const message = 'another cluster that is registered has the same API server, or is the same cluster';
  return [{ kind: 'DUPLICATE_CLUSTER', message }];
}

function duplicate(name: string, relation: string): Warning {
  return {
    kind: 'DUPLICATE_CLUSTER',
    message: `the cluster ${JSON.stringify(name)}, which is registered, ${relation}`,
  };
}
