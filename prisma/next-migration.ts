// Writes a new migration if the models differ from the migrations: `npm run migration -- <name>`.
// With --check, writes nothing. If they differ, prints the missing SQL and exits with status 1.
import { mkdir, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { readPostgresUrl } from '../src/storage/postgres/url.ts';
import { nextMigration } from './schema-engine.ts';
import { postgresSource, sqliteSource } from './shadow-databases.ts';

// Comparing PostgreSQL's migrations needs a server: TEST_DATABASE_URL or DATABASE_URL. Without one they are skipped.
const url = process.env.TEST_DATABASE_URL ?? process.env.DATABASE_URL;
const databases = [sqliteSource(), ...(url === undefined ? [] : [postgresSource(readPostgresUrl(url))])];
const [name = ''] = process.argv.slice(2);
const check = name === '--check';
if (!check && !/^[a-z0-9_]+$/.test(name)) {
  console.error('usage: npm run migration -- <name in a-z, 0-9 and _>');
  process.exit(2);
}
if (url === undefined)
  console.error('prisma/migrations/postgres: skipped, because neither DATABASE_URL nor TEST_DATABASE_URL is set');
const time = new Date().toISOString().replace(/\D/g, '').slice(0, 14);

for (const database of databases) {
  const sql = await nextMigration(database);
  const folder = relative('.', database.folder);
  if (sql === undefined) {
    console.log(`${folder}: migrations and models agree`);
  } else if (check) {
    console.error(`${folder}: a migration is missing: create it with npm run migration -- <name>\n${sql}`);
    process.exitCode = 1;
  } else {
    const file = join(database.folder, `${time}_${name}`, 'migration.sql');
    await mkdir(join(file, '..'), { recursive: true });
    await writeFile(file, sql);
    console.log(relative('.', file));
  }
}
