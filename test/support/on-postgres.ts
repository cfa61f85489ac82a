// Runs the test suite on PostgreSQL: `npm run test:postgres [-- URL] [what vitest takes]`. Without a URL, and without
// TEST_DATABASE_URL, it starts a server of its own where PostgreSQL is installed.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Client, escapeIdentifier } from 'pg';
import { postgresPrograms, startPostgres } from './postgres-server.ts';

const words = process.argv.slice(2);
const given = words[0]?.startsWith('postgres') ? words.shift() : process.env.TEST_DATABASE_URL;
if (given === undefined && (await postgresPrograms()) === undefined) {
  console.error(
    'Give the URL of a PostgreSQL database, or install PostgreSQL (on Debian: apt-get install postgresql).',
  );
  process.exit(2);
}
const server = given === undefined ? await startPostgres(['max_connections=200']) : undefined;
const url = given ?? server?.url ?? '';
// A database for the time of the run: whatever a test leaves behind goes with it.
const name = `kitestring_test_${process.pid}`;
const ask = async (statement: string) => {
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query(statement).finally(() => client.end());
};
const own = new URL(url);
own.pathname = `/${name}`;

const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));
try {
  await ask(`CREATE DATABASE ${escapeIdentifier(name)}`);
  console.log("left out: on PostgreSQL, the tests of SQLite's own files.");
  const child = spawn(process.execPath, [vitest, 'run', ...words], {
    env: { ...process.env, TEST_DATABASE_URL: own.href },
    stdio: 'inherit',
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  process.exitCode = await new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? 1)));
  await ask(`DROP DATABASE ${escapeIdentifier(name)} WITH (FORCE)`);
} finally {
  await server?.remove();
}
