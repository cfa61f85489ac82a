import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isDriverAdapterError, type SqlMigrationAwareDriverAdapterFactory } from '@prisma/driver-adapter-utils';
import type { MigrationList } from '@prisma/schema-engine-wasm';
import { withSchemaEngine } from './schema-engine.ts';
import { StartupError } from './startup-error.ts';

/** A kind of database: where its models and migrations are, and how it is reached. */
export type Migrated = {
  /** Its head and the models, as one schema. */
  schema: string[];
  folder: string;
  factory: SqlMigrationAwareDriverAdapterFactory;
};

/** A migration as `_prisma_migrations` has it. */
export type AppliedMigration = { name: string; checksum: string; finished: boolean; rolledBack: boolean };

/** Reads the rows that `appliedOf` takes. */
export const APPLIED = `SELECT migration_name, checksum, finished_at, rolled_back_at FROM _prisma_migrations ORDER BY started_at`;

export function appliedOf(rows: readonly Readonly<Record<string, unknown>>[]): AppliedMigration[] {
  return rows.map((row) => ({
    name: String(row.migration_name),
    checksum: String(row.checksum),
    finished: row.finished_at !== null,
    rolledBack: row.rolled_back_at !== null,
  }));
}

/** Milliseconds that a migration waits for others. */
export const PATIENCE_MS = 60_000;

/** Tries to take the turn until it is given something; a StartupError where another process has it for a minute. */
export async function waitForMigrationLock<T>(
  take: () => T | undefined | Promise<T | undefined>,
  pauseMs: number,
): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const taken = await take();
    if (taken !== undefined) return taken;
    if (performance.now() > deadline)
      throw new StartupError('Another process has been migrating the database for a minute: end it, then start again.');
    await sleep(pauseMs);
  }
}

type Migration = { name: string; script: string; checksum: string };

const home = fileURLToPath(new URL('../../prisma/', import.meta.url));

/** The models and migrations of one kind of database. */
export function migratedBy(kind: 'sqlite' | 'postgres', factory: SqlMigrationAwareDriverAdapterFactory): Migrated {
  const schema = [join(home, `${kind}.prisma`), join(home, 'models.prisma')];
  return { schema, folder: join(home, 'migrations', kind), factory };
}

const LOCK_FILE = 'migration_lock.toml';
const NO_FILTERS = { externalTables: [], externalEnums: [] };

/** The names of the migrations that this version has and the database has not; refuses a history it does not know. */
export async function pendingMigrations(folder: string, applied: AppliedMigration[]): Promise<string[]> {
  const known = await readMigrations(folder);
  const valid = applied.filter(({ finished, rolledBack }) => finished && !rolledBack);
  for (const { name, checksum } of valid) {
    const migration = known.find((one) => one.name === name);
    if (!migration)
      throw new StartupError(
        `The database has migration ${name}, which this version does not know: start the version that made it, or a newer one.`,
      );
    if (migration.checksum !== checksum)
      throw new StartupError(
        `Migration ${name} is not the one that the database was made with: start the version that made it, or restore a backup.`,
      );
  }
  return known.map(({ name }) => name).filter((name) => !valid.some((one) => one.name === name));
}

/** Applies what is pending, each migration whole or not at all. The caller holds the lock. */
export async function applyMigrations({ folder, factory }: Migrated, applied: AppliedMigration[]): Promise<void> {
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
          await run(`${script};\n${finished(migration)}`);
        } catch (error) {
          failure = { name: migration.name, error };
          throw error;
        }
      };
      return connection;
    },
  };
  await withSchemaEngine(atomic, async (engine) => {
    // A script and the mark that it is finished are stored together: what has no mark left nothing behind.
    const unfinished = applied.filter((one) => !one.finished && !one.rolledBack);
    for (const { name } of unfinished) await engine.markMigrationRolledBack({ migrationName: name });
    try {
      await engine.applyMigrations({ migrationsList, filters: NO_FILTERS });
    } catch (error) {
      if (!failure) throw error;
      throw new StartupError(
        `Migration ${failure.name} failed and left nothing behind (${reasonOf(failure.error)}): put that right and start again, or start the version before.`,
        { cause: error },
      );
    }
  });
}

/** The SQL that leads from the migrations to the models, or nothing when they agree. */
export async function nextMigration({ schema, folder, factory }: Migrated): Promise<string | undefined> {
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

function finished({ checksum }: Migration): string {
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
