import type { Database, Transaction } from '../../storage/database.ts';
import { type Seal, SealError } from '../../storage/seal.ts';
import { kubeconfigPlace } from './registry-change.ts';

/** The ids of the keys that stored kubeconfigs are sealed with. */
export async function sealedKeyIds(database: Database): Promise<string[]> {
  const groups = await database.prisma.clusterCredential.groupBy({ by: ['keyId'], orderBy: { keyId: 'asc' } });
  return groups.map(({ keyId }) => keyId);
}

/** Which of these keys nothing is sealed with; by the values themselves too, and not only by what stands beside them. */
export async function unusedKeyIds(
  { clusterCredential }: Pick<Transaction, 'clusterCredential'>,
  ids: readonly string[],
): Promise<string[]> {
  const unused: string[] = [];
  for (const id of ids) {
    const where = { OR: [{ keyId: id }, { sealed: { startsWith: `k1.${id}.` } }] };
    if ((await clusterCredential.count({ where })) === 0) unused.push(id);
  }
  return unused;
}

/** A kubeconfig that does not open: whose it is, and why. */
export interface SealFailure {
  readonly name: string;
  readonly problem: string;
}

/** Tries every sealed kubeconfig and tells which do not open, and why; never what they hold. */
export async function verifySealed(database: Database, seal: Seal): Promise<{ opened: number; faults: SealFailure[] }> {
  const rows = await database.prisma.clusterCredential.findMany({
    select: { sealed: true, cluster: { select: { uid: true, name: true } } },
    orderBy: { clusterId: 'asc' },
  });
  const faults: SealFailure[] = [];
  for (const { sealed, cluster } of rows) {
    try {
      seal.open(sealed, kubeconfigPlace(cluster.uid));
    } catch (error) {
      faults.push({ name: cluster.name, problem: error instanceof Error ? error.message : String(error) });
    }
  }
  return { opened: rows.length - faults.length, faults };
}

/** So many are sealed anew at a time: other writers wait for no more. */
const BATCH = 100;

/**
 * Seals every kubeconfig with the first key, beside whoever else reads and writes, and tells how far it is. What is sealed
 * stays the same, so neither revision nor credentialsVersion moves and no connection is opened anew. One that does not
 * open is passed over and named.
 */
export async function reseal(
  database: Database,
  seal: Seal,
  onBatch: (done: number) => void,
): Promise<{ done: number; faults: SealFailure[] }> {
  const faults: SealFailure[] = [];
  let done = 0;
  for (let after = 0; ; ) {
    const rows = await database.prisma.clusterCredential.findMany({
      where: { keyId: { not: seal.keyId }, clusterId: { gt: after } },
      select: { clusterId: true, sealed: true, cluster: { select: { uid: true, name: true } } },
      orderBy: { clusterId: 'asc' },
      take: BATCH,
    });
    const last = rows.at(-1);
    if (!last) return { done, faults };
    after = last.clusterId;
    const batch = await database.write([], async (tx) => {
      const faults: SealFailure[] = [];
      let done = 0;
      for (const { clusterId, sealed, cluster } of rows) {
        try {
          const place = kubeconfigPlace(cluster.uid);
          const data = { sealed: seal.seal(seal.open(sealed, place), place), keyId: seal.keyId };
          // One that was replaced since it was read is sealed with the first key already.
          done += (await tx.clusterCredential.updateMany({ where: { clusterId, sealed }, data })).count;
        } catch (error) {
          if (!(error instanceof SealError)) throw error;
          faults.push({ name: cluster.name, problem: error.message });
        }
      }
      return { done, faults };
    });
    done += batch.done;
    faults.push(...batch.faults);
    onBatch(done);
  }
}
