import { readFileSync, writeFileSync } from 'node:fs';

const LOAD_STATEMENT = /const { wasm } = await import\("(.+)"\)\s+return await decodeBase64AsWasm\(wasm\)/;
const LOAD_FILE = `const { readFile } = await import('node:fs/promises')
    return await WebAssembly.compile(await readFile(new URL('query-compiler.wasm', import.meta.url)))`;

/**
 * Moves the query compiler of a generated client to a separate file. Prisma embeds it as Base64 text in a module, which
 * costs 9 MB of memory for two copies. `folder` is the client's `internal/`, with a trailing slash.
 */
export async function unpackCompiler(folder: string): Promise<void> {
  const text = readFileSync(`${folder}class.ts`, 'utf8');
  const [, packed] = LOAD_STATEMENT.exec(text) ?? [];
  if (packed === undefined)
    throw new Error('the generated client loads its query compiler in an unknown way: update unpackCompiler()');
  const { wasm } = (await import(packed)) as { wasm: string };
  writeFileSync(`${folder}query-compiler.wasm`, Buffer.from(wasm, 'base64'));
  writeFileSync(`${folder}class.ts`, text.replace(LOAD_STATEMENT, LOAD_FILE));
}
