import type { Transaction } from '../storage/database.ts';
import type { Caller } from './access/viewer.ts';

/** The old and the new value of each field that changed; a credential appears as `changed`, never as itself. */
export type Changes = Record<string, { from?: unknown; to?: unknown } | 'changed'>;

/** Writes one audit record inside the transaction of the change it tells of. */
export async function record(
  tx: Transaction,
  caller: Caller,
  entry: {
    action: string;
    at: Date;
    cluster?: { uid: string; id: number; name: string };
    changes: Changes;
  },
): Promise<void> {
  const { viewer, requestId, address } = caller;
  await tx.auditRecord.create({
    data: {
      at: entry.at,
      actor: viewer ? `${viewer.id} (${viewer.name})` : 'stranger',
      action: entry.action,
      clusterUid: entry.cluster?.uid ?? null,
      clusterId: entry.cluster?.id ?? null,
      clusterName: entry.cluster?.name ?? null,
      requestId: requestId ?? null,
      address: address ?? null,
      changes: JSON.parse(JSON.stringify(entry.changes)),
    },
  });
}
