import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

/** The databases that a client is generated for; each has its head, which `models.prisma` follows. */
export const KINDS = ['sqlite', 'postgres'] as const;

/** What the clients are generated from. package.json has the versions of Prisma and of Pothos' generator. */
const SOURCES = ['models.prisma', ...KINDS.map((kind) => `${kind}.prisma`), 'generate.ts', '../package.json'];
const DIGEST = new URL('../src/storage/generated/sources.sha256', import.meta.url);

/** Whether the generated clients are there and belong to the sources as they are. */
export function areClientsCurrent(): boolean {
  return existsSync(DIGEST) && readFileSync(DIGEST, 'utf8') === digestSources();
}

/** Records what the clients were generated from; written last, so that an interrupted generation is repeated. */
export function markClientsCurrent(): void {
  writeFileSync(DIGEST, digestSources());
}

function digestSources(): string {
  const hash = createHash('sha256');
  for (const source of SOURCES) hash.update(readFileSync(new URL(source, import.meta.url)));
  return hash.digest('hex');
}
