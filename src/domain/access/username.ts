import type { Transaction } from '../../storage/database.ts';
import { fold } from '../clusters/search.ts';

/** Whether somebody has a name that a person would read as this one: in another letter case, or of other characters that look alike by NFKC. */
export async function isUsernameTaken(tx: Transaction, username: string): Promise<boolean> {
  const folded = foldUsername(username);
  const people = await tx.user.findMany({ select: { username: true } });
  return people.some((person) => foldUsername(person.username) === folded);
}

function foldUsername(username: string): string {
  return fold(username.normalize('NFKC')).normalize('NFKC');
}
