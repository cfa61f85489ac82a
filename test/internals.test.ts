// The contract tests of src/internals/. After an upgrade, check each statement against the source of the library, then set
// the new version in TRIED.
import { globSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { DatabaseSync } from 'node:sqlite';
import { buildSchema, type GraphQLObjectType, getVariableValues, parse, validate } from 'graphql';
import { Client, Pool as PostgresPool } from 'pg';
import pino from 'pino';
import { Pool as UndiciPool } from 'undici';
import { expect, it } from 'vitest';
import { schema } from '../src/graphql/schema.ts';
import { placeOfVariable, sentenceWithoutValue } from '../src/internals/graphql-messages.ts';
import { hasRunningQuery, isConnectionMessage, onServerError, socketOf } from '../src/internals/pg.ts';
import { writeLine } from '../src/internals/pino.ts';
import { pothosField } from '../src/internals/pothos.ts';
import { driverErrorOf } from '../src/internals/prisma-errors.ts';
import { constraintColumns, missingName, sqliteCodeOf } from '../src/internals/sqlite-errors.ts';
import { afterSocketIsFree, Pool } from '../src/internals/undici.ts';
import { uniqueViolation } from '../src/storage/database-error.ts';
import { openDatabase } from '../src/storage/open-database.ts';
import { clusterRow } from './support/cluster-row.ts';
import { locationOf } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { onTestFinished } from './support/running-test.ts';

/** Libraries with private interfaces that src/internals/ and prisma/schema-engine.ts use, in the versions that were tried. */
const TRIED: Readonly<Record<string, string>> = {
  '@pothos/core': '4.15.1',
  '@pothos/plugin-prisma': '4.17.0',
  '@prisma/client': '7.10.0',
  '@prisma/schema-engine-wasm': '7.10.0-4.0edf323efd1d98336f3f0a68684b56f689b900d3',
  graphql: '17.1.0',
  pg: '8.23.1',
  pino: '10.4.0',
  undici: '8.12.4',
};

it('private interfaces of libraries were tried with the installed versions', () => {
  const installed = Object.keys(TRIED).map((name) => {
    const { version } = JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')) as { version: string };
    return [name, version];
  });
  expect(Object.fromEntries(installed)).toEqual(TRIED);
});

it('every file in src/internals/ has a contract test here', () => {
  const test = readFileSync('test/internals.test.ts', 'utf8');
  const files = globSync('src/internals/*.ts').filter((file) => !file.endsWith('.d.ts'));
  expect(files.filter((file) => !test.includes(`'../${file}'`) && !test.includes(`// ${file}`))).toEqual([]);
});

it('pino: a line written around the logger has the same fields as one that the logger writes', () => {
  const lines: Record<string, unknown>[] = [];
  const stream = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const log = pino({ base: null, timestamp: () => ',"time":"now"' }, stream).child({ part: 'http' });
  log.info({ status: 200 }, 'request');
  writeLine(log, 'info', ',"status":200,"msg":"request"}');
  expect(lines[0]).toEqual({ level: 30, time: 'now', part: 'http', status: 200, msg: 'request' });
  expect(lines[1]).toEqual(lines[0]);
});

it('Pothos: a field names its column, its selected columns and its original resolver', () => {
  const { name, revision, id, live } = (schema.getType('Cluster') as GraphQLObjectType).getFields();
  if (!name || !revision || !id || !live) throw new Error('the schema has no such field');
  expect(pothosField(name)).toMatchObject({ column: 'name', select: { name: true } });
  expect(pothosField(revision).column).toBe('revision');
  expect(pothosField(id)).toMatchObject({ column: undefined, select: { uid: true } });
  expect(pothosField(id).resolve).toBeTypeOf('function');
  expect(pothosField(live).column).toBeUndefined();
});

it('undici: its pool is the one that its entry point exports', () => {
  expect(Pool).toBe(UndiciPool);
});

it('undici: a call that follows a response reuses the socket once it is free', async () => {
  let sockets = 0;
  const server = createServer((_request, response) => response.end('{}')).on('connection', () => sockets++);
  const port = await listening(server);
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: 2 });
  onTestFinished(() => pool.destroy());
  const call = () => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    pool.dispatch(
      { path: '/', method: 'GET' },
      {
        onRequestStart: () => {},
        onResponseStart: () => {},
        onResponseData: () => {},
        onResponseEnd: () => afterSocketIsFree(resolve),
        onResponseError: (_controller, error) => reject(error),
      },
    );
    return promise;
  };
  for (let count = 0; count < 5; count++) await call();
  expect(sockets).toBe(1);
});

// src/internals/prisma-client.ts
it.each(['sqlite', 'postgres'])('Prisma: the generated %s client loads its query compiler from a file', (kind) => {
  const folder = `src/storage/generated/${kind}/internal/`;
  expect(readFileSync(`${folder}query-compiler.wasm`).subarray(0, 4).toString('latin1')).toBe('\0asm');
  const text = readFileSync(`${folder}class.ts`, 'utf8');
  expect(text).toContain("new URL('query-compiler.wasm', import.meta.url)");
  expect(text).not.toMatch(/await decodeBase64AsWasm/);
});

it('Prisma: an error of the client contains what the driver adapter reported', async () => {
  const database = await openDatabase(locationOf(await temporaryDirectory()));
  onTestFinished(() => database.close());
  const create = () => database.prisma.cluster.create({ data: clusterRow('taken') });
  await create();
  const error: unknown = await create().catch((error: unknown) => error);
  expect(driverErrorOf(error)?.kind).toBe('UniqueConstraintViolation');
  expect(uniqueViolation(error)).toBe('name');
  expect(driverErrorOf(new Error('canary'))).toBeUndefined();
});

it('node:sqlite: an error has the extended result code, and SQLite names columns and tables in its messages', () => {
  const database = new DatabaseSync(':memory:');
  database.exec('CREATE TABLE "T" ("a", "b", UNIQUE ("a", "b"))');
  const errorOf = (sql: string) => {
    try {
      database.exec(sql);
    } catch (error) {
      return error as Error;
    }
    throw new Error(`no error: ${sql}`);
  };
  const taken = errorOf('INSERT INTO "T" VALUES (1, 2), (1, 2)');
  expect(sqliteCodeOf(taken)).toBe(2067);
  expect(constraintColumns(taken)).toEqual(['T.a', 'T.b']);
  expect(missingName(errorOf('SELECT * FROM "Gone"'))).toEqual({ kind: 'table', name: 'Gone' });
  expect(missingName(errorOf('SELECT T.gone FROM "T"'))).toEqual({ kind: 'column', name: 'T.gone' });
  expect(sqliteCodeOf(new Error('canary'))).toBe(0);
});

it('pg: a client tells whether a query runs, which socket it uses and which errors PostgreSQL sends', async () => {
  const server = await standInPostgres();
  const client = new Client({ host: '127.0.0.1', port: server.port, user: 'any', database: 'any' });
  client.on('error', () => {});
  const codes: unknown[] = [];
  onServerError(client, (code) => codes.push(code));
  await client.connect();
  expect(hasRunningQuery(client)).toBe(false);
  expect(socketOf(client).remotePort).toBe(server.port);
  const failed = client.query('SELECT 1').catch((error: Error) => error.message);
  expect(hasRunningQuery(client)).toBe(true);
  server.send('E', 'SERROR\0C25006\0Mread-only\0\0');
  server.send('Z', 'I');
  expect(await failed).toBe('read-only');
  expect(codes).toEqual(['25006']);
  expect(hasRunningQuery(client)).toBe(false);
  const cut = client.query('SELECT 1').catch((error: Error) => error.message);
  server.cut();
  expect(await cut).toSatisfy(isConnectionMessage);
});

it('pg: errors of a closed client, a closed pool and a slow connection have no code but a known message', async () => {
  const port = await listening(createTcpServer());
  const client = new Client({ host: '127.0.0.1', port, user: 'any', database: 'any', connectionTimeoutMillis: 20 });
  const pool = new PostgresPool({ host: '127.0.0.1', port, user: 'any', database: 'any', connectionTimeoutMillis: 20 });
  const errors = [await errorOf(client.connect()), await errorOf(pool.connect())];
  await client.end();
  await pool.end();
  errors.push(await errorOf(client.query('SELECT 1')), await errorOf(pool.connect()));
  expect(errors.filter(({ message }) => !isConnectionMessage(message))).toEqual([]);
  expect(errors.filter((error) => 'code' in error)).toEqual([]);
});

it('GraphQL.js: no sentence about an invalid literal or variable contains the value', () => {
  const small = buildSchema(`
    enum Kind { A }
    input Fields { kind: Kind, count: Int, list: [Int!], flag: Boolean, id: ID }
    type Query { read(fields: Fields, text: String): Int }
  `);
  const literals = [
    '{ kind: CANARY }',
    '{ kind: "CANARY" }',
    '{ count: "CANARY" }',
    '{ list: ["CANARY"] }',
    '"CANARY"',
  ];
  const messages = literals.flatMap((literal) =>
    validate(small, parse(`{ read(fields: ${literal}) }`)).map(({ message }) => message),
  );
  messages.push(...validate(small, parse('{ read(text: 7123456) }')).map(({ message }) => message));
  const { definitions } = parse('query ($fields: Fields) { read(fields: $fields) }');
  const [operation] = definitions;
  if (operation?.kind !== 'OperationDefinition') throw new Error('no operation');
  const values = [{ kind: 'CANARY' }, { count: 'CANARY' }, { list: ['CANARY'] }, { flag: 'CANARY' }, 'CANARY'];
  const ofVariables = values.flatMap(
    (fields) => getVariableValues(small, operation.variableDefinitions ?? [], { fields }).errors ?? [],
  );
  messages.push(...ofVariables.map(({ message, originalError }) => originalError?.message ?? message));
  expect(messages.length).toBeGreaterThanOrEqual(11);
  expect(messages.map(sentenceWithoutValue).filter((sentence) => /CANARY|7123456/.test(sentence))).toEqual([]);
  expect(ofVariables.map(({ message }) => placeOfVariable(message).at)).toEqual([
    '.kind',
    '.count',
    '.list[0]',
    '.flag',
    undefined,
  ]);
});

async function listening(server: Server): Promise<number> {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => open.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

/** A server that accepts any login and then sends only the messages that the test gives it. */
async function standInPostgres() {
  const connected = Promise.withResolvers<Socket>();
  const frame = (type: string, body: Buffer) => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(body.length + 4);
    return Buffer.concat([Buffer.from(type), length, body]);
  };
  const server = createTcpServer((socket) => {
    socket.once('data', () => {
      socket.write(Buffer.concat([frame('R', Buffer.alloc(4)), frame('Z', Buffer.from('I'))]));
      connected.resolve(socket);
    });
  });
  const port = await listening(server);
  return {
    port,
    send: (type: string, text: string) =>
      void connected.promise.then((socket) => socket.write(frame(type, Buffer.from(text)))),
    cut: () => void connected.promise.then((socket) => socket.end()),
  };
}

async function errorOf(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => new Error('it succeeded'),
    (error: Error) => error,
  );
}
