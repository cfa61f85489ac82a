import { readFile } from 'node:fs/promises';
import {
  bindMigrationAwareSqlAdapterFactory,
  type SqlDriverAdapter,
  type SqlMigrationAwareDriverAdapterFactory,
} from '@prisma/driver-adapter-utils';
import type { SchemaEngine } from '@prisma/schema-engine-wasm';

/** Runs `use` with Prisma's schema engine, and closes every connection it opened: the engine itself never does. */
export async function withSchemaEngine<T>(
  factory: SqlMigrationAwareDriverAdapterFactory,
  use: (engine: SchemaEngine) => Promise<T>,
): Promise<T> {
  const opened: SqlDriverAdapter[] = [];
  const remember = async (connecting: Promise<SqlDriverAdapter>) => {
    const connection = await connecting;
    opened.push(connection);
    return connection;
  };
  const remembering: SqlMigrationAwareDriverAdapterFactory = {
    provider: factory.provider,
    adapterName: factory.adapterName,
    connect: () => remember(factory.connect()),
    connectToShadowDb: () => remember(factory.connectToShadowDb()),
  };
  try {
    const { SchemaEngine } = await loadEngine();
    const engine = await SchemaEngine.new(
      { datamodels: undefined },
      () => {},
      bindMigrationAwareSqlAdapterFactory(remembering),
    );
    try {
      return await use(engine);
    } finally {
      engine.free();
    }
  } finally {
    await Promise.all(opened.map((connection) => connection.dispose()));
  }
}

// The compiler's library has it with the DOM alone.
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: { __wbindgen_start(): void } } }>;
};

/** The engine leaves its timers of 10 s behind, which would keep a command from ending. */
function withoutHold([name, run]: [string, unknown]): [string, unknown] {
  if (!name.startsWith('__wbg_setTimeout') || typeof run !== 'function') return [name, run];
  return [name, (...given: unknown[]) => run(...given).unref()];
}

type Glue = typeof import('@prisma/schema-engine-wasm/schema_engine_bg');
let loading: Promise<Glue> | undefined;

function loadEngine(): Promise<Glue> {
  loading ??= load().catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

// The package's own entry point imports the .wasm file as a module, which Node warns about.
async function load(): Promise<Glue> {
  const glue: Glue = await import('@prisma/schema-engine-wasm/schema_engine_bg');
  const file = new URL('./schema_engine_bg.wasm', import.meta.resolve('@prisma/schema-engine-wasm/schema_engine_bg'));
  const { instance } = await WebAssembly.instantiate(await readFile(file), {
    './schema_engine_bg.js': Object.fromEntries(Object.entries(glue).map(withoutHold)),
  });
  glue.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  return glue;
}
