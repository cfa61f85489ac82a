import { randomUUID } from 'node:crypto';

/** The required columns of a cluster. */
export function clusterRow(name: string) {
  const now = new Date();
  return {
    uid: randomUUID(),
    ...{ name, searchText: name, credentialKind: 'TOKEN', state: 'PENDING' },
    ...{ createdAt: now, updatedAt: now, stateSince: now },
  };
}
