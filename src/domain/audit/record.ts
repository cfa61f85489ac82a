import type { Transaction } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import type { Caller } from '../access/caller.ts';
import { ANONYMOUS_ACTOR, parseViewerId } from '../access/viewer-id.ts';

/** The old and the new value of each changed field. A changed credential appears only as `changed`. */
export type Changes = Record<string, { from?: unknown; to?: unknown } | 'changed'>;

export interface AuditEntry {
  readonly action: string;
  readonly at: Date;
  readonly cluster?: { readonly uid: string; readonly id: number; readonly name: string } | null | undefined;
  readonly changes: Changes;
  /** The error code of a refused attempt; DONE if absent. */
  readonly outcome?: string;
}

/** The actions that a caller can attempt, as audit records store them. */
export type AuditAction =
  | `cluster.${'create' | 'update' | 'delete' | 'import' | 'test' | 'probe' | 'confirm-identity'}`
  | `user.${'create' | 'update' | 'delete' | 'change-password'}`
  | `role.${'define' | 'delete'}`
  | `api-key.${'create' | 'revoke'}`;

/** Writes one audit record. Call it in the transaction of the change that it describes. */
export async function record(tx: Transaction, caller: Caller, entry: AuditEntry): Promise<void> {
  await tx.auditRecord.create({ data: auditRow(caller, entry), select: { id: true } });
}

export function auditRow(
  { viewer, requestId, address }: Caller,
  { action, at, cluster, changes, outcome = 'DONE' }: AuditEntry,
): Prisma.AuditRecordCreateInput {
  const key = viewer?.kind === 'API_KEY' ? parseViewerId(viewer.id) : undefined;
  return {
    at,
    actor: viewer ? `${viewer.id} (${viewer.name})` : ANONYMOUS_ACTOR,
    actorId: viewer?.id ?? ANONYMOUS_ACTOR,
    actorName: viewer?.name ?? '',
    userId: viewer?.userId ?? null,
    apiKeyId: key?.id ?? null,
    action,
    clusterUid: cluster?.uid ?? null,
    clusterId: cluster?.id ?? null,
    clusterName: cluster?.name ?? null,
    requestId: requestId ?? null,
    address: address ?? null,
    outcome,
    changes: JSON.parse(JSON.stringify(changes)),
  };
}
