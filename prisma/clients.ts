import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** The kinds of database for which a client is generated. `<kind>.prisma` followed by `models.prisma` is its schema. */
export const KINDS = ['sqlite', 'postgres'] as const;

/**
 * The files from which the clients are generated. package.json determines the versions of Prisma and Pothos' generator.
 */
const SOURCES = [
  'models.prisma',
  ...KINDS.map((kind) => `${kind}.prisma`),
  'generate.ts',
  '../src/internals/prisma-client.ts',
  '../package.json',
];
const DIGEST = new URL('../src/storage/generated/sources.sha256', import.meta.url);

/** Whether the generated clients exist and match the current sources. */
export function areClientsCurrent(): boolean {
  return existsSync(DIGEST) && readFileSync(DIGEST, 'utf8') === digestSources();
}

/** Records the digest of the sources. Call this last, so that an interrupted generation is repeated. */
export function markClientsCurrent(): void {
  writeFileSync(DIGEST, digestSources());
}

function digestSources(): string {
  const hash = createHash('sha256');
  for (const source of SOURCES) hash.update(readFileSync(new URL(source, import.meta.url)));
  return hash.digest('hex');
}
