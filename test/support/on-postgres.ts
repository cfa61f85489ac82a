// Runs the test suite on PostgreSQL: `npm run test:postgres [-- URL] [arguments of vitest]`. Without a URL and
// TEST_DATABASE_URL, it starts its own server if PostgreSQL is installed.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Client, escapeIdentifier } from 'pg';
import { postgresPrograms, startPostgres } from './postgres-server.ts';

const words = process.argv.slice(2);
const givenUrl = words[0]?.startsWith('postgres') ? words.shift() : process.env.TEST_DATABASE_URL;
if (givenUrl === undefined && (await postgresPrograms()) === undefined) {
  console.error(
    'Give the URL of a PostgreSQL database, or install PostgreSQL (on Debian: apt-get install postgresql).',
  );
  process.exit(2);
}
const server = givenUrl === undefined ? await startPostgres(['max_connections=200']) : undefined;
const url = givenUrl ?? server?.url ?? '';
// A database that exists only for this run: it is dropped with everything that the tests leave behind.
const name = `kitestring_test_${process.pid}`;
const runSql = async (statement: string) => {
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query(statement).finally(() => client.end());
};
const runUrl = new URL(url);
runUrl.pathname = `/${name}`;

const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));
try {
  await runSql(`CREATE DATABASE ${escapeIdentifier(name)}`);
  const child = spawn(process.execPath, [vitest, 'run', ...words], {
    env: { ...process.env, TEST_DATABASE_URL: runUrl.href },
    stdio: 'inherit',
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  process.exitCode = await new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? 1)));
  await runSql(`DROP DATABASE ${escapeIdentifier(name)} WITH (FORCE)`);
} finally {
  await server?.remove();
}
