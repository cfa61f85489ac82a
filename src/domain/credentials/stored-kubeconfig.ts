import type { Transaction } from '../../storage/database.ts';
import type { SealedPlace } from '../../storage/seal.ts';
import type { ChangeContext } from '../registry-change.ts';

/**
 * The place of a cluster's sealed kubeconfig. The seal is bound to it: a value copied to another row does not decrypt.
 */
export function kubeconfigPlace(uid: string): SealedPlace {
  return { table: 'ClusterCredential', column: 'sealed', uid };
}

/** Seals a kubeconfig and stores it, replacing the cluster's previous one. */
export async function storeKubeconfig(
  tx: Transaction,
  { seal }: ChangeContext,
  { id, uid }: { id: number; uid: string },
  kubeconfig: string,
): Promise<void> {
  const row = { sealed: seal.seal(kubeconfig, kubeconfigPlace(uid)), keyId: seal.keyId };
  await tx.clusterCredential.upsert({
    ...{ where: { clusterId: id }, create: { clusterId: id, ...row }, update: row },
    select: { clusterId: true },
  });
}

/** Decrypts the stored kubeconfig of a cluster; undefined if none is stored. */
export async function openKubeconfig(
  client: Pick<Transaction, 'clusterCredential'>,
  { seal }: ChangeContext,
  { id, uid }: { id: number; uid: string },
): Promise<string | undefined> {
  const row = await client.clusterCredential.findUnique({ where: { clusterId: id } });
  return row ? seal.open(row.sealed, kubeconfigPlace(uid)) : undefined;
}
