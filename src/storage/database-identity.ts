import type { Database } from './database.ts';

/** What tells this database from every other: the random id of its first migration. */
export async function identityOf({ prisma }: Pick<Database, 'prisma'>): Promise<string> {
  const [first] = await prisma.$queryRaw<{ id: string }[]>`
    SELECT "id" FROM "_prisma_migrations" ORDER BY "started_at", "id" LIMIT 1`;
  if (!first) throw new Error('a database that is open was migrated');
  return first.id;
}
