import type { Database, Transaction } from '../../storage/database.ts';
import { DomainError } from '../errors.ts';
import { rolesOfKey } from './api-key-cache.ts';
import { forbidden, SIGN_IN_FIRST } from './permissions.ts';
import { rolesOfSession } from './sessions.ts';
import type { Caller } from './viewer.ts';

/** Runs a change of who may do what, for a caller who is still the one they were when they asked. */
export function changeAccess<T>(
  database: Database,
  caller: Caller,
  change: (tx: Transaction) => Promise<T>,
): Promise<T> {
  return database.write('access', async (tx) => {
    await reauthorizeInTransaction(tx, caller);
    return change(tx);
  });
}

/**
 * Refuses a caller whose key, session or role has ended while their change waited for those before it; for the beginning
 * of its transaction. By `tx` alone: to ask anew who they are would wait for the transaction.
 */
export async function reauthorizeInTransaction(tx: Transaction, { viewer }: Caller): Promise<void> {
  if (!viewer || viewer.kind === 'SYSTEM') return;
  const roles = await (viewer.kind === 'API_KEY' ? rolesOfKey(tx, viewer) : rolesOfSession(tx, viewer));
  if (!roles) throw new DomainError('UNAUTHENTICATED', SIGN_IN_FIRST);
  if (viewer.roles.some((role) => !roles.includes(role))) throw forbidden();
}
