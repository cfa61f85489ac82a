import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  bindMigrationAwareSqlAdapterFactory,
  type SqlMigrationAwareDriverAdapterFactory,
} from '@prisma/driver-adapter-utils';
import { readMigrations } from '../src/storage/migrations.ts';

const LOCK_FILE = 'migration_lock.toml';

/** The models and migrations of one kind of database, and empty databases in which to compare them. */
export interface MigrationSource {
  /** The paths of the files that together form the Prisma schema. */
  readonly schema: readonly string[];
  /** The directory of the migrations. */
  readonly folder: string;
  readonly shadow: SqlMigrationAwareDriverAdapterFactory;
}

/**
 * Generates the SQL that is missing between the migrations and the models, with Prisma's schema engine. Returns
 * undefined if they agree.
 */
export async function nextMigration({ schema, folder, shadow }: MigrationSource): Promise<string | undefined> {
  const migrations = await readMigrations(folder);
  const files = await Promise.all(schema.map(async (path) => ({ path, content: await readFile(path, 'utf8') })));
  const { SchemaEngine } = await loadOnce();
  const engine = await SchemaEngine.new(
    { datamodels: undefined },
    () => {},
    bindMigrationAwareSqlAdapterFactory(shadow),
  );
  try {
    const { exitCode, stdout } = await engine.diff({
      from: {
        tag: 'migrations',
        baseDir: folder,
        lockfile: { path: LOCK_FILE, content: await readFile(join(folder, LOCK_FILE), 'utf8') },
        shadowDbInitScript: '',
        migrationDirectories: migrations.map(({ name, script }) => ({
          path: name,
          migrationFile: { path: 'migration.sql', content: { tag: 'ok', value: script } },
        })),
      },
      to: { tag: 'schemaDatamodel', files },
      script: true,
      exitCode: true,
      filters: { externalTables: [], externalEnums: [] },
    });
    return exitCode === 0 ? undefined : (stdout ?? '');
  } finally {
    engine.free();
  }
}

// TypeScript declares WebAssembly only in the DOM library, which this project does not use.
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: { __wbindgen_start(): void } } }>;
};

/** Unreferences the engine's timers of 10 s. It never clears them, so a command could not exit before they fire. */
function unrefTimer([name, run]: [string, unknown]): [string, unknown] {
  if (!name.startsWith('__wbg_setTimeout') || typeof run !== 'function') return [name, run];
  return [name, (...args: unknown[]) => run(...args).unref()];
}

type Glue = typeof import('@prisma/schema-engine-wasm/schema_engine_bg');

let loading: Promise<Glue> | undefined;

/** Loads the engine once per process: its glue code holds one instance. */
function loadOnce(): Promise<Glue> {
  loading ??= load();
  return loading;
}

// The package's own entry point imports the .wasm file as a module, for which Node prints a warning.
async function load(): Promise<Glue> {
  const glue: Glue = await import('@prisma/schema-engine-wasm/schema_engine_bg');
  const file = new URL('./schema_engine_bg.wasm', import.meta.resolve('@prisma/schema-engine-wasm/schema_engine_bg'));
  const { instance } = await WebAssembly.instantiate(await readFile(file), {
    './schema_engine_bg.js': Object.fromEntries(Object.entries(glue).map(unrefTimer)),
  });
  glue.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  return glue;
}
