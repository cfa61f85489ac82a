import type { Database, Transaction } from '../../storage/database.ts';
import { type Seal, SealError, type SealedPlace, type Sealer } from '../../storage/seal.ts';

/**
 * The place of a cluster's sealed kubeconfig. The seal is bound to it: a value copied to another row does not decrypt.
 */
export function kubeconfigPlace(uid: string): SealedPlace {
  return { table: 'ClusterCredential', column: 'sealed', uid };
}

/** Seals a kubeconfig. Returns the columns to store. */
export function sealKubeconfig({ keyId, seal }: Sealer, uid: string, kubeconfig: string) {
  return { sealed: seal(kubeconfig, kubeconfigPlace(uid)), keyId };
}

/** Opens a sealed kubeconfig. If it does not open, `problem` is the reason, which names the row but contains no content. */
export function openKubeconfig(
  seal: Seal,
  uid: string,
  sealed: string,
): { kubeconfig: string; problem?: undefined } | { kubeconfig?: undefined; problem: string } {
  try {
    return { kubeconfig: seal.open(sealed, kubeconfigPlace(uid)) };
  } catch (error) {
    if (!(error instanceof SealError)) throw error;
    return { problem: error.message };
  }
}

/** Returns the ids of the keys with which stored kubeconfigs are sealed. */
export async function sealedKeyIds(database: Database): Promise<string[]> {
  const groups = await database.prisma.clusterCredential.groupBy({ by: ['keyId'], orderBy: { keyId: 'asc' } });
  return groups.map(({ keyId }) => keyId);
}

/**
 * Returns the given key ids with which no kubeconfig is sealed. Checks the sealed values as well as the column `keyId`.
 */
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

/** A kubeconfig that cannot be decrypted: the name of its cluster, and the reason. */
export interface SealFailure {
  readonly name: string;
  readonly problem: string;
}

/** Decrypts every sealed kubeconfig. Reports each failure with its reason, but never with any content. */
export async function verifySealed(
  database: Database,
  seal: Seal,
): Promise<{ opened: number; failures: SealFailure[] }> {
  const rows = await database.prisma.clusterCredential.findMany({
    select: { sealed: true, cluster: { select: { uid: true, name: true } } },
    orderBy: { clusterId: 'asc' },
  });
  const failures: SealFailure[] = [];
  for (const { sealed, cluster } of rows) {
    const { problem } = openKubeconfig(seal, cluster.uid, sealed);
    if (problem !== undefined) failures.push({ name: cluster.name, problem });
  }
  return { opened: rows.length - failures.length, failures };
}

/** Kubeconfigs per transaction: other writers wait for at most one. */
const BATCH = 100;

/**
 * Reseals every kubeconfig with the first key, while other processes read and write, and reports progress to `onBatch`. The
 * kubeconfigs themselves do not change, so revision and credentialsVersion stay and connections remain open. A kubeconfig
 * that cannot be decrypted is skipped and returned in `failures`.
 */
export async function reseal(
  database: Database,
  seal: Seal,
  onBatch: (done: number) => void,
): Promise<{ done: number; failures: SealFailure[] }> {
  const failures: SealFailure[] = [];
  let done = 0;
  for (let after = 0; ; ) {
    const rows = await database.prisma.clusterCredential.findMany({
      where: { keyId: { not: seal.keyId }, clusterId: { gt: after } },
      select: { clusterId: true, sealed: true, cluster: { select: { uid: true, name: true } } },
      orderBy: { clusterId: 'asc' },
      take: BATCH,
    });
    const last = rows.at(-1);
    if (!last) return { done, failures };
    after = last.clusterId;
    const batch = await database.write([], async (tx) => {
      const failures: SealFailure[] = [];
      const sealer = seal.sealer();
      let done = 0;
      for (const { clusterId, sealed, cluster } of rows) {
        const { kubeconfig, problem } = openKubeconfig(seal, cluster.uid, sealed);
        if (kubeconfig === undefined) {
          failures.push({ name: cluster.name, problem });
          continue;
        }
        const data = sealKubeconfig(sealer, cluster.uid, kubeconfig);
        // Matches only if unchanged: a kubeconfig replaced since the read is already sealed with the first key.
        done += (await tx.clusterCredential.updateMany({ where: { clusterId, sealed }, data })).count;
      }
      return { done, failures };
    });
    done += batch.done;
    failures.push(...batch.failures);
    onBatch(done);
  }
}
