import type { Database } from './database.ts';

/** Returns an id that is unique to this database: the random id of its first migration. */
export async function identityOf({ prisma }: Pick<Database, 'prisma'>): Promise<string> {
  const [first] = await prisma.$queryRaw<{ id: string }[]>`
    SELECT "id" FROM "_prisma_migrations" ORDER BY "started_at", "id" LIMIT 1`;
  if (!first) throw new Error('an open database must have at least one migration');
  return first.id;
}
