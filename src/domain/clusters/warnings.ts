import type { Transaction } from '../../storage/database.ts';

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

/** Warns of each cluster that has the API server, or the identity where it is known, of one that is being registered. */
export async function findDuplicates(tx: Transaction, registering: readonly Registering[]): Promise<Warning[]> {
  const apiServers = registering.flatMap(({ apiServer }) => (apiServer ? [apiServer] : []));
  const identities = registering.flatMap(({ identity }) => (identity ? [identity] : []));
  if (apiServers.length + identities.length === 0) return [];
  const others = await tx.cluster.findMany({
    where: {
      name: { notIn: registering.map(({ name }) => name) },
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
