import { expect, it } from 'vitest';
import { openDatabase } from '../src/storage/open-database.ts';
import { databaseOf, POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { onTestFinished } from './support/running-test.ts';

it.runIf(POSTGRES !== undefined)('frequent statements are prepared, whatever lists were read before', async () => {
  const database = await openDatabase({ url: databaseOf(await temporaryDirectory()).DATABASE_URL ?? '' });
  onTestFinished(() => database.close());
  const { prisma } = database;
  const ids = Array.from({ length: 250 }, (_, id) => id);
  // One after another, so that all of them use one connection.
  for (const length of ids.slice(2))
    for (let times = 0; times < 5; times++)
      await prisma.cluster.findMany({ where: { id: { in: ids.slice(0, length) } }, select: { id: true } });
  for (let times = 0; times < 6; times++) await prisma.session.findMany();
  await prisma.role.findMany();
  const prepared = await prisma.$queryRaw<{ statement: string }[]>`
    SELECT "statement" FROM pg_prepared_statements WHERE "name" LIKE 'kitestring%'`;
  const of = (table: string) => prepared.filter(({ statement }) => statement.includes(`"${table}"`)).length;
  expect([of('Cluster'), of('Session'), of('Role')]).toEqual([100, 1, 0]);
});
