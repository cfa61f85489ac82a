import type { Database, Transaction } from '../../storage/database.ts';
import type { AuthorizedCaller } from './permissions.ts';

/**
 * Runs a change to users, roles, keys or sessions in a transaction. First checks that the caller is still authorized.
 */
export function changeAccess<T>(
  database: Database,
  caller: AuthorizedCaller<'ALL' | 'OWN'>,
  change: (tx: Transaction) => Promise<T>,
): Promise<T> {
  return database.write('access', async (tx) => {
    await caller.reauthorizeInTransaction(tx);
    return change(tx);
  });
}
