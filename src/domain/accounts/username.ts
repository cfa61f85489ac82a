import type { Transaction } from '../../storage/database.ts';
import { fold } from '../text.ts';

/**
 * Whether an existing username looks the same: it differs only in letter case or in characters that are equivalent
 * under NFKC.
 */
export async function isUsernameTaken(tx: Transaction, username: string): Promise<boolean> {
  const folded = foldUsername(username);
  const users = await tx.user.findMany({ select: { username: true } });
  return users.some((user) => foldUsername(user.username) === folded);
}

function foldUsername(username: string): string {
  return fold(username.normalize('NFKC')).normalize('NFKC');
}
