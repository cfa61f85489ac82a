import type { Transaction } from '../../storage/database.ts';

/** Something the caller should know of a change that was made. */
export interface Warning {
  readonly kind: 'CREDENTIAL_UNUSABLE' | 'DUPLICATE_CLUSTER';
  readonly message: string;
}

interface Registered {
  readonly id: number;
  readonly apiServer: string | null;
  readonly identity?: string | null | undefined;
}

/** Warns of each new cluster whose API server, or whose identity where it is known, another one has already. */
export async function findDuplicates(tx: Transaction, created: readonly Registered[]): Promise<Warning[]> {
  const apiServers = created.flatMap(({ apiServer }) => (apiServer ? [apiServer] : []));
  const identities = created.flatMap(({ identity }) => (identity ? [identity] : []));
  if (apiServers.length + identities.length === 0) return [];
  const others = await tx.cluster.findMany({
    where: {
      id: { notIn: created.map(({ id }) => id) },
      OR: [{ apiServer: { in: apiServers } }, { identity: { in: identities } }],
    },
    select: { name: true, apiServer: true, identity: true },
    orderBy: { id: 'asc' },
  });
  return others.map(({ name, apiServer, identity }) => {
    const same =
      identity && identities.includes(identity) ? 'is the same cluster' : `has the same API server, ${apiServer}`;
    return { kind: 'DUPLICATE_CLUSTER', message: `the cluster ${JSON.stringify(name)}, which is registered, ${same}` };
  });
}
