import { isDeepStrictEqual } from 'node:util';
import { COUNTER_JUMP, type Database, type Transaction } from './database.ts';
import type { Prisma } from './generated/sqlite/client.ts';
import { StartupError } from './startup-error.ts';

/**
 * The models to copy, each with its primary key. A model comes before the models that refer to it.
 * `Replica`, `ProbeLease` and `Counter` are not copied because they describe the target itself: a server that starts on
 * the target during the copy writes to `Replica`.
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
type CopiedModel = keyof typeof KEYS;
export const COPIED = Object.keys(KEYS) as CopiedModel[];

/** Rows per batch. Sealed kubeconfigs use the small size because each can take megabytes. */
const BATCH = 500;
const LARGE_ROW_BATCH = 20;
/** Rows between two progress reports. */
const PROGRESS_INTERVAL = 10_000;
/** A large audit log takes long to copy. The long timeout blocks no one: no server uses the target yet. */
const TRANSACTION = { maxWait: 10_000, timeout: 60 * 60_000 };

type Row = Readonly<Record<string, unknown>>;

/** Opens a PostgreSQL database and copies into it. Throws a StartupError if a server has already used it. */
export async function copyToPostgres(
  url: string,
  source: Database,
  progress: (model: string, rows: number) => void,
): Promise<ReadonlyMap<string, number>> {
  const target = await (await import('./postgres/database.ts')).openUnusedPostgres(url);
  try {
    return await copyInto(target, source, progress);
  } finally {
    await target.close();
  }
}

/**
 * Copies a SQLite database to an empty PostgreSQL database. One transaction copies every row, reads it back and
 * compares it. `progress` receives the model and the number of its rows copied so far. Returns the number of rows per
 * model.
 */
export async function copyInto(
  target: Database,
  source: Database,
  progress: (model: string, rows: number) => void,
): Promise<ReadonlyMap<string, number>> {
  const before = await source.counters();
  return target.prisma.$transaction(async (tx) => {
    // Blocks the writes of a server that starts on the target during the copy.
    await tx.$queryRaw`SELECT 1 FROM "Counter" FOR UPDATE`;
    for (const model of COPIED) await requireEmpty(tx, model);
    const counts = new Map<string, number>();
    for (const model of COPIED) {
      counts.set(model, await copyModel(tx, source, model, (rows) => progress(model, rows)));
      progress(model, counts.get(model) ?? 0);
    }
    await advanceSequences(tx, source);
    for (const [name, value] of Object.entries(before))
      await tx.counter.update({ where: { name }, data: { value: value + COUNTER_JUMP } });
    if (!isDeepStrictEqual(await source.counters(), before))
      throw new StartupError('The SQLite database changed during the copy: stop the server, then copy again.');
    return counts;
  }, TRANSACTION);
}

async function requireEmpty(tx: Transaction, model: CopiedModel): Promise<void> {
  const [found] = await tx.$queryRawUnsafe<Row[]>(`SELECT 1 FROM "${model}" LIMIT 1`);
  if (found)
    throw new StartupError(
      `The target database is not empty (table ${model}): choose a database that no server has used yet.`,
    );
}

async function copyModel(
  tx: Transaction,
  source: Database,
  model: CopiedModel,
  progress: (rows: number) => void,
): Promise<number> {
  const take = model === 'ClusterCredential' ? LARGE_ROW_BATCH : BATCH;
  let after: Row | undefined;
  for (let rows = 0; ; ) {
    const batch = await readRows(source.prisma, model, after, take);
    if (batch.length > 0) await insert(tx, model, batch);
    // Reads through the Prisma client, as the server does. One different value rolls back the whole copy.
    if (!isDeepStrictEqual(await readRows(tx, model, after, take), batch))
      throw new StartupError(`Rows of ${model} differ after the copy: the copy was rolled back.`);
    rows += batch.length;
    if (batch.length < take) return rows;
    if (rows % PROGRESS_INTERVAL === 0) progress(rows);
    after = batch.at(-1);
  }
}

interface Delegate {
  findMany(query: object): Promise<Row[]>;
}

/** Reads up to `take` rows after the row `after`, in the order of the primary key. */
async function readRows(client: Transaction, model: CopiedModel, after: Row | undefined, take: number): Promise<Row[]> {
  const delegates = client as unknown as Record<string, Delegate>;
  const delegate = delegates[model.charAt(0).toLowerCase() + model.slice(1)] as Delegate;
  const key = KEYS[model];
  const orderBy = key.map((column) => ({ [column]: 'asc' }));
  if (after === undefined) return delegate.findMany({ orderBy, take });
  const at = Object.fromEntries(key.map((column) => [column, after[column]]));
  return delegate.findMany({ orderBy, take, skip: 1, cursor: key.length === 1 ? at : { [key.join('_')]: at } });
}

/** Inserts a batch with one statement. PostgreSQL converts each JSON value to the type of its column. */
async function insert(tx: Transaction, model: CopiedModel, rows: readonly Row[]): Promise<void> {
  const json = JSON.stringify(rows, (_key, value) => (typeof value === 'bigint' ? value.toString() : value));
  await tx.$executeRawUnsafe(
    `INSERT INTO "${model}" SELECT * FROM json_populate_recordset(NULL::"${model}", $1::json)`,
    json,
  );
}

/** Continues the source's sequences, so that the target never reissues the id of a deleted row. */
async function advanceSequences(tx: Transaction, source: Database): Promise<void> {
  const sequences = await source.prisma.$queryRaw<
    { name: string; seq: bigint }[]
  >`SELECT "name", "seq" FROM sqlite_sequence`;
  for (const { name, seq } of sequences) {
    const model = COPIED.find((copied) => copied === name);
    if (model !== undefined && KEYS[model][0] === 'id' && seq > 0)
      await tx.$queryRawUnsafe(`SELECT setval(pg_get_serial_sequence('"${name}"', 'id'), ${Number(seq)})`);
  }
}
