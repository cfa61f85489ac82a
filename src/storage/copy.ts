import { isDeepStrictEqual } from 'node:util';
import { AHEAD, type Database, type Transaction } from './database.ts';
import type { Prisma } from './generated/sqlite/client.ts';
import { StartupError } from './startup-error.ts';

/**
 * The models whose rows are copied, and the columns that tell their rows apart; those that others refer to come first.
 * Replicas, who probe what, and the counters are the target's own: a server that starts on it meanwhile writes the first.
 */
const KEYS = {
  Cluster: ['id'],
  ClusterLabel: ['clusterId', 'key'],
  ClusterTombstone: ['clusterId'],
  ClusterCredential: ['clusterId'],
  User: ['id'],
  UserRole: ['userId', 'role'],
  Role: ['name'],
  Session: ['hash'],
  SignInFailure: ['key'],
  UsedSignIn: ['hash'],
  ApiKey: ['id'],
  AuditRecord: ['id'],
} satisfies Partial<Record<Prisma.ModelName, string[]>>;
type Copied = keyof typeof KEYS;
export const COPIED = Object.keys(KEYS) as Copied[];

/** Rows that travel together; sealed kubeconfigs are up to megabytes each. */
const BATCH = 500;
const LARGE_BATCH = 20;
/** Rows after which the progress is told. */
const PROGRESS = 10_000;
/** A copy of a large audit trail takes its time; nobody else uses the database yet. */
const TRANSACTION = { maxWait: 10_000, timeout: 60 * 60_000 };

type Row = Readonly<Record<string, unknown>>;

/** Opens the database to copy to, which must be unused. */
export async function openTarget(url: string): Promise<Database> {
  return (await import('./postgres/database.ts')).openUnusedPostgres(url);
}

/**
 * Copies everything from a SQLite database to an empty one of PostgreSQL, in one transaction that reads it all back and
 * compares row for row before it ends. `progress` hears of each model, and how many of its rows are there.
 */
export async function copyInto(
  target: Database,
  source: Database,
  progress: (model: string, rows: number) => void,
): Promise<ReadonlyMap<string, number>> {
  const before = await source.counters();
  return target.prisma.$transaction(async (tx) => {
    // Keeps a server that starts meanwhile from changing anything.
    await tx.$queryRaw`SELECT 1 FROM "Counter" FOR UPDATE`;
    for (const model of COPIED) await refuseRows(tx, model);
    const counts = new Map<string, number>();
    for (const model of COPIED) {
      counts.set(model, await copyModel(tx, source, model, (rows) => progress(model, rows)));
      progress(model, counts.get(model) ?? 0);
    }
    await raiseIds(tx, source);
    for (const [name, value] of Object.entries(before))
      await tx.counter.update({ where: { name }, data: { value: value + AHEAD } });
    if (!isDeepStrictEqual(await source.counters(), before))
      throw new StartupError('The SQLite database was changed while it was copied: stop the server, then copy again.');
    return counts;
  }, TRANSACTION);
}

async function refuseRows(tx: Transaction, model: Copied): Promise<void> {
  const [found] = await tx.$queryRawUnsafe<Row[]>(`SELECT 1 FROM "${model}" LIMIT 1`);
  if (found)
    throw new StartupError(`The database to copy to is not empty (${model}): name one that no server has used yet.`);
}

async function copyModel(
  tx: Transaction,
  source: Database,
  model: Copied,
  progress: (rows: number) => void,
): Promise<number> {
  const take = model === 'ClusterCredential' ? LARGE_BATCH : BATCH;
  let after: Row | undefined;
  for (let rows = 0; ; ) {
    const batch = await readRows(source.prisma, model, after, take);
    if (batch.length > 0) await insert(tx, model, batch);
    // Read back as anybody reads it: what differs in any value ends the copy, and nothing of it stays.
    if (!isDeepStrictEqual(await readRows(tx, model, after, take), batch))
      throw new StartupError(`Rows of ${model} differ after they were copied: nothing was kept of the copy.`);
    rows += batch.length;
    if (batch.length < take) return rows;
    if (rows % PROGRESS === 0) progress(rows);
    after = batch.at(-1);
  }
}

interface Delegate {
  findMany(query: object): Promise<Row[]>;
}

/** The next rows in the order of their keys. */
async function readRows(client: Transaction, model: Copied, after: Row | undefined, take: number): Promise<Row[]> {
  const delegates = client as unknown as Record<string, Delegate>;
  const delegate = delegates[model.charAt(0).toLowerCase() + model.slice(1)] as Delegate;
  const key = KEYS[model];
  const orderBy = key.map((column) => ({ [column]: 'asc' }));
  if (after === undefined) return delegate.findMany({ orderBy, take });
  const at = Object.fromEntries(key.map((column) => [column, after[column]]));
  return delegate.findMany({ orderBy, take, skip: 1, cursor: key.length === 1 ? at : { [key.join('_')]: at } });
}

/** One statement a batch: PostgreSQL reads each value as its column's type has it. */
async function insert(tx: Transaction, model: Copied, rows: readonly Row[]): Promise<void> {
  const json = JSON.stringify(rows, (_key, value) => (typeof value === 'bigint' ? value.toString() : value));
  await tx.$executeRawUnsafe(
    `INSERT INTO "${model}" SELECT * FROM json_populate_recordset(NULL::"${model}", $1::json)`,
    json,
  );
}

/** An id is never used again, also that of a row which was deleted before. */
async function raiseIds(tx: Transaction, source: Database): Promise<void> {
  const sequences = await source.prisma.$queryRaw<
    { name: string; seq: bigint }[]
  >`SELECT "name", "seq" FROM sqlite_sequence`;
  for (const { name, seq } of sequences) {
    const model = COPIED.find((copied) => copied === name);
    if (model !== undefined && KEYS[model][0] === 'id' && seq > 0)
      await tx.$queryRawUnsafe(`SELECT setval(pg_get_serial_sequence('"${name}"', 'id'), ${Number(seq)})`);
  }
}
