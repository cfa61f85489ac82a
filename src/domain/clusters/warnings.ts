import type { Transaction } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { canReadEveryCluster, readableClusters } from '../access/permissions.ts';
import type { Caller } from '../access/viewer.ts';

/** Something the caller should know of a change that was made. */
export interface Warning {
  readonly kind: 'CREDENTIAL_UNUSABLE' | 'DUPLICATE_CLUSTER';
  readonly message: string;
}

/** Warns of a credential that was stored although it cannot be used. */
export function credentialWarning(problem: string): Warning {
  return { kind: 'CREDENTIAL_UNUSABLE', message: `the credential is stored but cannot be used: ${problem}` };
}

interface Registering {
  readonly name: string;
  readonly apiServer: string | null;
  readonly identity?: string | null | undefined;
}

/** How many registered clusters a change warns of by name; all that an import registers share them. */
const MAX_NAMED = 50;

/**
 * Warns of clusters that have the identity, where it is known, or the API server of one that is being registered: by
 * name of `MAX_NAMED`, the same clusters first, and of all beyond in one sentence. Clusters that the caller may not read
 * share one warning, which gives neither a name, a server nor a count.
 */
export async function findDuplicates(
  tx: Pick<Transaction, 'cluster'>,
  caller: Caller,
  registering: readonly Registering[],
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
  const same = identities.length > 0 ? await find({ identity: { in: identities } }, take) : [];
  const id = { notIn: same.map(({ id }) => id) };
  const alike = apiServers.length > 0 ? await find({ apiServer: { in: apiServers }, id }, take - same.length) : [];
  const warnings = [
    ...same.map(({ name }) => duplicate(name, 'is the same cluster')),
    ...alike.map(({ name, apiServer }) => duplicate(name, `has the same API server, ${apiServer}`)),
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

function duplicate(name: string, what: string): Warning {
  return { kind: 'DUPLICATE_CLUSTER', message: `the cluster ${JSON.stringify(name)}, which is registered, ${what}` };
}
