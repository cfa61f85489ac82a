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

/** Registered clusters that a change warns of by name. */
const MAX_NAMED = 50;

/**
 * Warns of clusters that have the API server, or the identity where it is known, of one that is being registered: of
 * the first 50 by their names, and in one sentence of all beyond.
 */
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
    take: MAX_NAMED + 1,
  });
  const named = others.slice(0, MAX_NAMED).map(({ name, apiServer, identity }) => {
    const same =
      identity && identities.includes(identity) ? 'is the same cluster' : `has the same API server, ${apiServer}`;
    return duplicate(`the cluster ${JSON.stringify(name)}, which is registered, ${same}`);
  });
  if (others.length <= MAX_NAMED) return named;
  return [...named, duplicate('more clusters that are registered have the same API server, or are the same cluster')];
}

function duplicate(message: string): Warning {
  return { kind: 'DUPLICATE_CLUSTER', message };
}
