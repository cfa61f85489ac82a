import { randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import type { PostgresServer } from '../test/support/postgres-server.ts';
import { type Product, type StartOptions, startProduct } from './product.ts';
import { query } from './requests.ts';
import { clusterRows } from './seed.ts';

/** API keys of the attacking callers, as values of the `Authorization` header. */
export interface Keys {
  /** Has the built-in role `viewer`. */
  readonly viewer: string;
  /** Can read clusters, their live data and the audit log. */
  readonly reader: string;
  /** Can read the clusters that match one glob. */
  readonly glob: string;
  /** Can read the clusters that match one of 100 globs. */
  readonly globs: string;
  /** Can read the clusters that match a label selector. */
  readonly selector: string;
}

/** A registry with clusters, roles and API keys. `environment` contains the URL of its PostgreSQL database, if any. */
export interface SeededRegistry {
  readonly dataDir: string;
  readonly environment: Record<string, string>;
  readonly keys: Keys;
}

type Seed = { readonly dataDir: string; readonly clusters: number } & StartOptions;
type Row = Record<string, unknown>;

const SEAL_KEY = Buffer.alloc(32, 7).toString('base64');
/** Rows per INSERT statement, which receives them as JSON. */
const BATCH = 5_000;

/** The name of a seeded cluster. */
export const seededName = (index: number): string => `cluster-${String(index).padStart(5, '0')}`;

/**
 * Seeds a SQLite database. The server of the tree under test creates the schema and the API keys. The rows are inserted
 * with plain SQL, so that older trees can be seeded as well.
 */
export async function seedSqlite({ dataDir, clusters, ...start }: Seed): Promise<SeededRegistry> {
  const keys = await createKeys(await startProduct(dataDir, {}, start));
  changeSqlite(dataDir, (database) => {
    for (const [table, rows] of tablesOf(clusters)) insertSqlite(database, table, rows);
    database.exec(`UPDATE "Counter" SET "value" = "value" + 1 WHERE "name" = 'registry'`);
  });
  return { dataDir, environment: {}, keys };
}

/** Seeds a separate schema on a PostgreSQL server. */
export async function seedPostgres(
  { url }: PostgresServer,
  { dataDir, clusters, ...start }: Seed,
): Promise<SeededRegistry> {
  mkdirSync(dataDir);
  const schema = `stalls_${clusters}`;
  const withSchema = new URL(url);
  withSchema.searchParams.set('schema', schema);
  const environment = { DATABASE_URL: withSchema.href, SEAL_KEY };
  const keys = await createKeys(await startProduct(dataDir, environment, start));
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    for (const [table, rows] of tablesOf(clusters)) {
      const columns = columnsOf(rows);
      const sql = `INSERT INTO "${schema}"."${table}" (${columns}) SELECT ${columns} FROM json_populate_recordset(null::"${schema}"."${table}", $1)`;
      for (let at = 0; at < rows.length; at += BATCH)
        await client.query(sql, [JSON.stringify(rows.slice(at, at + BATCH))]);
    }
    await client.query(`UPDATE "${schema}"."Counter" SET "value" = "value" + 1 WHERE "name" = 'registry'`);
    await client.query('ANALYZE');
  } finally {
    await client.end();
  }
  return { dataDir, environment, keys };
}

/** Changes the SQLite database of a data directory in one transaction. No server may be using it. */
export function changeSqlite(dataDir: string, change: (database: DatabaseSync) => void): void {
  const database = new DatabaseSync(join(dataDir, 'kitestring.db'));
  database.exec('BEGIN');
  change(database);
  database.exec('COMMIT');
  database.close();
}

/** Inserts rows. All must have the same columns as the first. */
export function insertSqlite(database: DatabaseSync, table: string, rows: readonly Row[]): void {
  if (rows.length === 0) return;
  const marks = Object.keys(rows[0] ?? {}).map(() => '?');
  const statement = database.prepare(`INSERT INTO "${table}" (${columnsOf(rows)}) VALUES (${marks.join(', ')})`);
  for (const row of rows) statement.run(...Object.values(row).map(sqliteValue));
}

function sqliteValue(value: unknown): string | number {
  if (value instanceof Date) return value.toISOString().replace('Z', '+00:00');
  return typeof value === 'boolean' ? Number(value) : (value as string | number);
}

function columnsOf(rows: readonly Row[]): string {
  return Object.keys(rows[0] ?? {})
    .map((column) => `"${column}"`)
    .join(', ');
}

function tablesOf(clusters: number): readonly (readonly [table: string, rows: readonly Row[]])[] {
  const { rows, labelsOf } = clusterRows(clusters, 1);
  return [
    ['Cluster', rows.map((row, index) => ({ id: index + 1, uid: randomUUID(), ...row }))],
    [
      'ClusterLabel',
      rows.flatMap((_row, index) => labelsOf(index).map((label) => ({ clusterId: index + 1, ...label }))),
    ],
  ];
}

const ROLES: Readonly<Record<Exclude<keyof Keys, 'viewer'>, object>> = {
  reader: { actions: ['CLUSTERS_READ', 'CLUSTERS_LIVE', 'AUDIT_READ'] },
  glob: { actions: ['CLUSTERS_READ'], clusters: { names: ['cluster-*'] } },
  globs: {
    actions: ['CLUSTERS_READ'],
    clusters: { names: Array.from({ length: 100 }, (_, index) => `*-${index}?-*-of-no-cluster-*`) },
  },
  selector: { actions: ['CLUSTERS_READ'], clusters: { labelSelector: 'env in (production, staging)' } },
};

/** Creates the roles and an API key for each, then stops the server. */
async function createKeys({ url, stop }: Product): Promise<Keys> {
  try {
    for (const [name, role] of Object.entries(ROLES))
      await query(url, 'mutation ($input: DefineRoleInput!) { defineRole(input: $input) { __typename } }', {
        input: { name, ...role },
      });
    const keys: Record<string, string> = {};
    for (const role of ['viewer', ...Object.keys(ROLES)]) {
      const document = `mutation ($input: CreateApiKeyInput!) {
        createApiKey(input: $input) { ... on CreateApiKeySuccess { text } ... on Error { message } } }`;
      const { createApiKey } = await query<{ createApiKey: { text?: string; message?: string } }>(url, document, {
        input: { name: role, roles: [role] },
      });
      if (createApiKey.text === undefined) throw new Error(`no key for ${role}: ${createApiKey.message}`);
      keys[role] = createApiKey.text;
    }
    return keys as Record<keyof Keys, string>;
  } finally {
    await stop();
  }
}
