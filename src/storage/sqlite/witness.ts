import { existsSync, readFileSync, rmSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import type { DatabaseSync } from 'node:sqlite';

/** The progress of a database: its counters and last assigned ids by name. These numbers only ever grow. */
export interface Progress {
  /** The random id of the first migration, which identifies the database. */
  readonly identity: string;
  readonly numbers: Readonly<Record<string, number>>;
}

/** The content of a witness file: the progress of a database at the time `at`. */
export interface Witness extends Progress {
  readonly at: string;
}

/**
 * Milliseconds between updates of the witness. Commits since the last update can be lost unnoticed if the write-ahead
 * log and its index are both lost.
 */
const WITNESS_MS = 10_000;

/** The witness file. It exists while a server has the database open, and remains if that server is killed. */
const witnessOf = (file: string) => `${file}-witness`;
/** A fixed name, so that the next server overwrites or removes the draft of a killed one. */
const draftOf = (file: string) => `${witnessOf(file)}.draft`;

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

/** Reads the witness that a killed process left behind. Returns undefined if it does not exist or cannot be read. */
export function readWitness(file: string): Witness | undefined {
  try {
    const { identity, numbers, at } = JSON.parse(readFileSync(witnessOf(file), 'utf8')) as Partial<Witness>;
    return identity !== undefined && numbers && at !== undefined ? { identity, numbers, at } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Writes the witness now and, if something was committed, every ten seconds. Returns a function that stops this and
 * removes the witness, because a closed database has every commit in its main file.
 */
export async function keepWitness(file: string, progress: () => Progress | undefined): Promise<() => Promise<void>> {
  let written = '';
  const update = async () => {
    try {
      const now = progress();
      if (!now || (JSON.stringify(now) === written && existsSync(witnessOf(file)))) return;
      await writeWitness(file, now);
      written = JSON.stringify(now);
    } catch {
      // The previous witness remains. It records less than was committed, never more, so it cannot cause a false
      // warning.
    }
  };
  await update();
  let updating = Promise.resolve();
  const timer = setInterval(() => {
    updating = updating.then(update);
  }, WITNESS_MS).unref();
  return async () => {
    clearInterval(timer);
    await updating;
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

/** Whether the database has less progress than its witness recorded, so that commits were lost. */
export function isBehindWitness({ identity, numbers }: Progress, witness: Witness): boolean {
  return (
    identity === witness.identity &&
    Object.entries(witness.numbers).some(([name, value]) => (numbers[name] ?? 0) < value)
  );
}
