import { existsSync, readFileSync, rmSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import type { DatabaseSync } from 'node:sqlite';

/** How far a database had come: its counters and its last ids, which only ever grow, by name. */
export interface Progress {
  /** The random id of its first migration, which tells one database from another. */
  readonly identity: string;
  readonly numbers: Readonly<Record<string, number>>;
}

/** What was seen of a database while it was open, and when. */
export interface Witness extends Progress {
  readonly at: string;
}

/** How old a witness may become: what was committed later can be lost unnoticed, if the log and its index both are. */
const WITNESS_MS = 10_000;

/** Stands beside the database while a process has it open, and after one that was killed. */
const witnessOf = (file: string) => `${file}-witness`;
/** One name, so that the next server replaces or removes what a killed one has left. */
const draftOf = (file: string) => `${witnessOf(file)}.draft`;

/** Reads how far the database has come. */
export function readProgress(database: DatabaseSync): Progress {
  const first = database.prepare('SELECT "id" FROM "_prisma_migrations" ORDER BY "started_at", "id" LIMIT 1').get();
  const rows = database
    .prepare(
      `SELECT "name", "value" FROM "Counter" UNION ALL SELECT 'last id of ' || "name", "seq" FROM sqlite_sequence`,
    )
    .all();
  return {
    identity: String(first?.id),
    numbers: Object.fromEntries(rows.map(({ name, value }) => [String(name), Number(value)])),
  };
}

/** What a process has left that was killed; undefined where there is none or it cannot be read. */
export function readWitness(file: string): Witness | undefined {
  try {
    const { identity, numbers, at } = JSON.parse(readFileSync(witnessOf(file), 'utf8')) as Partial<Witness>;
    return identity !== undefined && numbers && at !== undefined ? { identity, numbers, at } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Writes a witness now and every ten seconds in which something was committed, while a server has the database open; gives
 * what ends that and removes it, since a database that was closed has everything in its own file.
 */
export async function keepWitness(file: string, progress: () => Progress | undefined): Promise<() => Promise<void>> {
  let written = '';
  const look = async () => {
    try {
      const now = progress();
      if (!now || (JSON.stringify(now) === written && existsSync(witnessOf(file)))) return;
      await writeWitness(file, now);
      written = JSON.stringify(now);
    } catch {
      // The witness stays as it is: it then tells of less than was committed, never of more.
    }
  };
  await look();
  let looking = Promise.resolve();
  const timer = setInterval(() => {
    looking = looking.then(look);
  }, WITNESS_MS).unref();
  return async () => {
    clearInterval(timer);
    await looking;
    for (const name of [draftOf(file), witnessOf(file)]) rmSync(name, { force: true });
  };
}

async function writeWitness(file: string, progress: Progress): Promise<void> {
  const draft = draftOf(file);
  const witness: Witness = { ...progress, at: new Date().toISOString() };
  {
    await using handle = await open(draft, 'w', 0o600);
    await handle.writeFile(JSON.stringify(witness));
    await handle.sync();
  }
  await rename(draft, witnessOf(file));
}

/** Whether a database lacks something that a witness saw in it. */
export function hasUnprobedClusters({ identity, numbers }: Progress, witness: Witness): boolean {
  return (
    identity === witness.identity &&
    Object.entries(witness.numbers).some(([name, value]) => (numbers[name] ?? 0) < value)
  );
}
