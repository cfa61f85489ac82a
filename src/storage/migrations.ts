import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isDriverAdapterError } from '@prisma/driver-adapter-utils';
import { StartupError } from './startup-error.ts';

/** A migration of this version: the name of its folder, its SQL, and the SHA-256 digest of the SQL in hexadecimal. */
export type Migration = { name: string; script: string; checksum: string };

/** A row of `_prisma_migrations`. */
export type AppliedMigration = { name: string; checksum: string; finished: boolean; rolledBack: boolean };

/** Selects the rows that `parseAppliedMigrations` expects. */
export const SELECT_APPLIED_MIGRATIONS = `SELECT migration_name, checksum, finished_at, rolled_back_at FROM _prisma_migrations`;

export function parseAppliedMigrations(rows: readonly Readonly<Record<string, unknown>>[]): AppliedMigration[] {
  return rows.map((row) => ({
    name: String(row.migration_name),
    checksum: String(row.checksum),
    finished: row.finished_at !== null,
    rolledBack: row.rolled_back_at !== null,
  }));
}

/** Milliseconds that a migration waits for other processes. */
export const PATIENCE_MS = 60_000;

/**
 * Calls `tryLock` every `pauseMs` milliseconds until it returns a lock. Throws a StartupError if another process holds
 * the lock for a minute.
 */
export async function waitForMigrationLock<T>(
  tryLock: () => T | undefined | Promise<T | undefined>,
  pauseMs: number,
): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const lock = await tryLock();
    if (lock !== undefined) return lock;
    if (performance.now() > deadline)
      throw new StartupError(
        'Another process has been migrating the database for a minute: stop that process, then start again.',
      );
    await sleep(pauseMs);
  }
}

/** The directory of the migrations that this version has for one kind of database. */
export function migrationsFolder(kind: 'sqlite' | 'postgres'): string {
  return fileURLToPath(new URL(`../../prisma/migrations/${kind}`, import.meta.url));
}

/**
 * Returns the migrations that the database has not applied yet, in order. Throws a StartupError if the database has a
 * migration that this version does not know, or that differs from this version's.
 */
export async function pendingMigrations(folder: string, applied: AppliedMigration[]): Promise<Migration[]> {
  const known = await readMigrations(folder);
  const valid = applied.filter(({ finished, rolledBack }) => finished && !rolledBack);
  for (const { name, checksum } of valid) {
    const migration = known.find((one) => one.name === name);
    if (!migration)
      throw new StartupError(
        `The database has migration ${name}, which this version does not know: start the version that applied it, or a newer one.`,
      );
    if (migration.checksum !== checksum)
      throw new StartupError(
        `Migration ${name} is not the one that was applied to the database: start the version that applied it, or restore a backup.`,
      );
  }
  return known.filter(({ name }) => !valid.some((one) => one.name === name));
}

/** The SQL that differs between the databases. */
export interface MigrationDialect {
  /** Creates Prisma's table `_prisma_migrations` unless it exists. */
  readonly createHistory: string;
  /** The current time, as Prisma's schema engine writes it to the table. */
  readonly now: string;
}

/**
 * Applies migrations one after another. `runScript` must run a script in one transaction. The caller must hold the
 * migration lock.
 */
export async function applyMigrations(
  pending: readonly Migration[],
  { createHistory, now }: MigrationDialect,
  runScript: (script: string) => Promise<void>,
): Promise<void> {
  // Earlier versions inserted a row before they ran a migration. A row that they did not finish has changed nothing.
  const rollBackUnfinished = `UPDATE "_prisma_migrations" SET "rolled_back_at" = ${now}
    WHERE "finished_at" IS NULL AND "rolled_back_at" IS NULL`;
  for (const migration of pending) {
    const insert = `INSERT INTO "_prisma_migrations"
      ("id", "checksum", "migration_name", "started_at", "finished_at", "applied_steps_count")
      VALUES ('${randomUUID()}', '${migration.checksum}', '${migration.name}', ${now}, ${now}, 1)`;
    try {
      await runScript([createHistory, rollBackUnfinished, migration.script, insert].join('\n;\n'));
    } catch (error) {
      throw new StartupError(
        `Migration ${migration.name} failed and changed nothing (${reasonOf(error)}): fix the cause and start again, or start the previous version.`,
        { cause: error },
      );
    }
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return isDriverAdapterError(error) ? (error.cause.originalMessage ?? error.message) : error.message;
}

/** Reads the migrations of a folder in the order of their names, as Prisma lays them out. */
export async function readMigrations(folder: string): Promise<Migration[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return Promise.all(
    names.sort().map(async (name) => {
      const script = await readFile(join(folder, name, 'migration.sql'), 'utf8');
      return { name, script, checksum: createHash('sha256').update(script).digest('hex') };
    }),
  );
}
