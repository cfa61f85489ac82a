import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isDriverAdapterError, type SqlMigrationAwareDriverAdapterFactory } from '@prisma/driver-adapter-utils';
import type { MigrationList } from '@prisma/schema-engine-wasm';
import { withSchemaEngine } from './schema-engine.ts';
import { StartupError } from './startup-error.ts';

/** What migrating one kind of database needs: its schema files, its migrations and its driver adapter. */
export type MigrationTarget = {
  /** The paths of the files that together form the Prisma schema. */
  schema: string[];
  /** The directory of the migrations. */
  folder: string;
  factory: SqlMigrationAwareDriverAdapterFactory;
};

/** A row of `_prisma_migrations`. */
export type AppliedMigration = { name: string; checksum: string; finished: boolean; rolledBack: boolean };

/** Selects the rows that `parseAppliedMigrations` expects. */
export const SELECT_APPLIED_MIGRATIONS = `SELECT migration_name, checksum, finished_at, rolled_back_at FROM _prisma_migrations ORDER BY started_at`;

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

type Migration = { name: string; script: string; checksum: string };

const home = fileURLToPath(new URL('../../prisma/', import.meta.url));

/** Returns the schema and migrations that ship with this version for one kind of database. */
export function migratedBy(
  kind: 'sqlite' | 'postgres',
  factory: SqlMigrationAwareDriverAdapterFactory,
): MigrationTarget {
  const schema = [join(home, `${kind}.prisma`), join(home, 'models.prisma')];
  return { schema, folder: join(home, 'migrations', kind), factory };
}

const LOCK_FILE = 'migration_lock.toml';
const NO_FILTERS = { externalTables: [], externalEnums: [] };

/**
 * Returns the names of the migrations that the database has not applied yet. Throws a StartupError if the database has
 * a migration that this version does not know, or that differs from this version's.
 */
export async function pendingMigrations(folder: string, applied: AppliedMigration[]): Promise<string[]> {
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
  return known.map(({ name }) => name).filter((name) => !valid.some((one) => one.name === name));
}

/** Applies the pending migrations, each atomically. The caller must hold the migration lock. */
export async function applyMigrations(
  { folder, factory }: MigrationTarget,
  applied: AppliedMigration[],
): Promise<void> {
  const known = await readMigrations(folder);
  const migrationsList = await migrationList(folder, known);
  let failure: { name: string; error: unknown } | undefined;
  const atomic: SqlMigrationAwareDriverAdapterFactory = {
    ...factory,
    async connect() {
      const connection = await factory.connect();
      const run = connection.executeScript.bind(connection);
      connection.executeScript = async (script) => {
        const migration = known.find((one) => one.script === script);
        if (!migration) return run(script);
        try {
          await run(`${script};\n${markFinished(migration)}`);
        } catch (error) {
          failure = { name: migration.name, error };
          throw error;
        }
      };
      return connection;
    },
  };
  await withSchemaEngine(atomic, async (engine) => {
    // A script and its `finished_at` mark are committed together, so an unfinished migration has changed nothing.
    const unfinished = applied.filter((one) => !one.finished && !one.rolledBack);
    for (const { name } of unfinished) await engine.markMigrationRolledBack({ migrationName: name });
    try {
      await engine.applyMigrations({ migrationsList, filters: NO_FILTERS });
    } catch (error) {
      if (!failure) throw error;
      throw new StartupError(
        `Migration ${failure.name} failed and changed nothing (${reasonOf(failure.error)}): fix the cause and start again, or start the previous version.`,
        { cause: error },
      );
    }
  });
}

/** Generates the SQL that is missing between the migrations and the models; undefined if they agree. */
export async function nextMigration({ schema, folder, factory }: MigrationTarget): Promise<string | undefined> {
  const migrations = await migrationList(folder, await readMigrations(folder));
  const files = await Promise.all(schema.map(async (path) => ({ path, content: await readFile(path, 'utf8') })));
  const { exitCode, stdout } = await withSchemaEngine(factory, (engine) =>
    engine.diff({
      from: { tag: 'migrations', ...migrations },
      to: { tag: 'schemaDatamodel', files },
      script: true,
      exitCode: true,
      filters: NO_FILTERS,
    }),
  );
  return exitCode === 0 ? undefined : (stdout ?? '');
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return isDriverAdapterError(error) ? (error.cause.originalMessage ?? error.message) : error.message;
}

function markFinished({ checksum }: Migration): string {
  return `UPDATE "_prisma_migrations" SET "finished_at" = CURRENT_TIMESTAMP
WHERE "checksum" = '${checksum}' AND "finished_at" IS NULL AND "rolled_back_at" IS NULL;`;
}

async function readMigrations(folder: string): Promise<Migration[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return Promise.all(
    names.sort().map(async (name) => {
      const script = await readFile(join(folder, name, 'migration.sql'), 'utf8');
      return { name, script, checksum: createHash('sha256').update(script).digest('hex') };
    }),
  );
}

async function migrationList(folder: string, migrations: Migration[]): Promise<MigrationList> {
  return {
    baseDir: folder,
    lockfile: { path: LOCK_FILE, content: await readFile(join(folder, LOCK_FILE), 'utf8') },
    shadowDbInitScript: '',
    migrationDirectories: migrations.map(({ name, script }) => ({
      path: name,
      migrationFile: { path: 'migration.sql', content: { tag: 'ok', value: script } },
    })),
  };
}
