import type { Database } from '../../storage/database.ts';
import type { Seal } from '../../storage/seal.ts';
import { kubeconfigPlace } from './registry.ts';

/** The ids of the keys that stored kubeconfigs are sealed with. */
export async function sealedKeyIds(database: Database): Promise<string[]> {
  const groups = await database.prisma.clusterCredential.groupBy({ by: ['keyId'], orderBy: { keyId: 'asc' } });
  return groups.map(({ keyId }) => keyId);
}

/** Tries every sealed kubeconfig and tells which do not open, and why; never what they hold. */
export async function verifySealed(
  database: Database,
  seal: Seal,
): Promise<{ opened: number; faults: { name: string; problem: string }[] }> {
  const rows = await database.prisma.clusterCredential.findMany({
    select: { sealed: true, cluster: { select: { uid: true, name: true } } },
    orderBy: { clusterId: 'asc' },
  });
  const faults: { name: string; problem: string }[] = [];
  for (const { sealed, cluster } of rows) {
    try {
      seal.open(sealed, kubeconfigPlace(cluster.uid));
    } catch (error) {
      faults.push({ name: cluster.name, problem: error instanceof Error ? error.message : String(error) });
    }
  }
  return { opened: rows.length - faults.length, faults };
}
