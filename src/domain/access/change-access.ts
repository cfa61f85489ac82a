import type { Database, Transaction } from '../../storage/database.ts';
import { DomainError } from '../errors.ts';
import type { Caller } from './caller.ts';
import { rolesOfKey, rolesOfSession } from './current-roles.ts';
import { forbidden, SIGN_IN_FIRST } from './permissions.ts';

/**
 * Runs a change to users, roles, keys or sessions in a transaction. First checks that the caller is still authorized.
 */
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
 * Throws if the key, session or a role of the caller was removed while the change waited for the write lock. Call it
 * first in the transaction. It reads through `tx` only: authenticating the caller again outside the transaction would
 * wait for the transaction itself.
 */
export async function reauthorizeInTransaction(tx: Transaction, { viewer }: Caller): Promise<void> {
  if (!viewer || viewer.kind === 'SYSTEM') return;
  const roles = await (viewer.kind === 'API_KEY' ? rolesOfKey(tx, viewer) : rolesOfSession(tx, viewer));
  if (!roles) throw new DomainError('UNAUTHENTICATED', SIGN_IN_FIRST);
  if (viewer.roles.some((role) => !roles.includes(role))) throw forbidden();
}
