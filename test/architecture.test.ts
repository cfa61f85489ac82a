import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';

const files = globSync('src/**/*.{ts,js}').filter((file) => !file.includes('/generated/'));
const FROM = /^(?:import|export)\s+(type\s)?[^;'"]*?from\s+'([^']+)'|^import\s+()'([^']+)'|\bimport\(()'([^']+)'\)/gm;

/** Every import in src/: the importing file, the imported path and whether only types are imported. */
const imports = files.flatMap((file) =>
  [...readFileSync(file, 'utf8').matchAll(FROM)].map(([, type, from, , bare, , lazy]) => {
    const target = from ?? bare ?? lazy ?? '';
    const path = target.startsWith('.') ? join(dirname(file), target) : target;
    return { file, path, typeOnly: type !== undefined };
  }),
);

/** A file directly in src/ is a part of its own. */
const partOf = (path: string) => /^src\/([^/.]+)/.exec(path)?.[1] ?? '';
const show = ({ file, path }: { file: string; path: string }) => `${file} → ${path}`;

// From top to bottom: a part may import the parts below it, never those above. `storage` and `kubernetes` are peers.
const ORDER = [
  'main',
  'cli',
  'start',
  'background-jobs',
  'app',
  'core-services',
  'server',
  'rest',
  'graphql',
  'domain',
  'kubernetes',
  'storage',
];

// Functions and types that every part may import. They import no other part. `internals` holds what we use of the
// private interfaces of libraries; test/internals.test.ts tries it with the installed versions.
const SHARED = ['json-size', 'http-error', 'event-loop', 'internals', 'ip-address', 'lazy'];

it('shared functions import no other part', () => {
  expect(imports.filter(({ file, path }) => SHARED.includes(partOf(file)) && path.startsWith('src/'))).toEqual([]);
});

it('every part imports only parts below it', () => {
  const inner = imports.filter(({ path }) => ORDER.includes(partOf(path)));
  expect(inner.length).toBeGreaterThan(100);
  const upward = inner.filter(({ file, path }) => {
    const [from, to] = [partOf(file), partOf(path)];
    if (from === 'config') return !path.endsWith('startup-error.ts');
    return from !== to && (ORDER.indexOf(from) >= ORDER.indexOf(to) || from === 'kubernetes');
  });
  expect(upward.map(show)).toEqual([]);
  const known = [...ORDER, ...SHARED, 'config', 'log', 'installation', 'node-version'];
  expect(files.map(partOf).filter((part) => !known.includes(part))).toEqual([]);
});

it('only main and the CLI import configuration and log at run time; other parts receive them as values', () => {
  const taken = imports.filter(({ file, path, typeOnly }) => {
    const top = ['main', 'cli', partOf(path)].includes(partOf(file));
    return ['config', 'log'].includes(partOf(path)) && !typeOnly && !top;
  });
  expect(taken.map(show)).toEqual([]);
});

it('no file imports itself through other files, type imports included', () => {
  const importsOf = Map.groupBy(imports, ({ file }) => file);
  const finished = new Set<string>();
  const cycles: string[] = [];
  const follow = (file: string, trail: readonly string[]): void => {
    if (trail.includes(file)) cycles.push([...trail.slice(trail.indexOf(file)), file].join(' → '));
    if (trail.includes(file) || finished.has(file)) return;
    for (const { path } of importsOf.get(file) ?? []) follow(path, [...trail, file]);
    finished.add(file);
  };
  for (const file of files) follow(file, []);
  expect(cycles).toEqual([]);
});

// From top to bottom, like ORDER. All folders share the files directly in src/domain.
const DOMAIN_ORDER = ['clusters', 'probing', 'credentials', 'accounts', 'audit', 'access'];

it('every folder of the domain imports only folders below it', () => {
  const folderOf = (path: string) => /^src\/domain\/([^/]+)\//.exec(path)?.[1] ?? '';
  const inner = imports.filter(({ path }) => folderOf(path) !== '' && path.startsWith('src/domain/'));
  const upward = inner.filter(({ file, path }) => {
    const [from, to] = [folderOf(file), folderOf(path)];
    return from !== '' && from !== to && DOMAIN_ORDER.indexOf(from) >= DOMAIN_ORDER.indexOf(to);
  });
  expect(upward.map(show)).toEqual([]);
  const folders = new Set(files.map(folderOf).filter((folder) => folder !== ''));
  expect([...folders].sort()).toEqual([...DOMAIN_ORDER].sort());
});

it.each([
  ['express', ['rest', 'server']],
  ['@pothos/', ['graphql']],
  ['graphql-yoga', ['graphql']],
  ['@kubernetes/client-node', ['kubernetes']],
  ['undici', ['internals']],
  ['openid-client', ['domain']],
  ['@prisma/', ['internals', 'storage']],
  ['node:sqlite', ['storage']],
  ['src/storage/generated/', ['storage']],
])('%s is imported only by %j', (dependency, owners) => {
  const foreignImports = imports.filter(
    ({ file, path, typeOnly }) => path.startsWith(dependency) && !owners.includes(partOf(file)) && !typeOnly,
  );
  // Pothos' generator writes only types and a description of the models.
  expect(foreignImports.filter(({ file }) => !file.endsWith('.generated.ts')).map(show)).toEqual([]);
});

it('libraries that are slow to load are imported lazily or in part', () => {
  const eager = /^import (?!type\b)[^;]*?from '(?:openid-client|@kubernetes\/client-node|undici)'/m;
  expect(files.filter((file) => eager.test(readFileSync(file, 'utf8')))).toEqual([]);
});

it.each([
  [/\bprocess\.env\b/, /^src\/config\.ts$/],
  [/\bnew PrismaClient\b/, /^src\/storage\//],
  // The server and the command line share one place that opens databases and builds services over them.
  [/\bopenDatabase\(|\bnew (?:Seal|Users|Roles|ApiKeys|AuditLog|SignInLimits)\(/, /^src\/(?:core-services|storage\/)/],
  // Elsewhere, methods of Database hide the differences. Here the kind belongs to an error of a driver adapter.
  [/\bkind [!=]== '(?:sqlite|postgres)'|'(?:file|url)' in\b/, /^src\/storage\/database-error\.ts$/],
  // Private interfaces of libraries.
  [
    /\bsymbols\.|extensions\.pothos|\bpothos[A-Z]\w+:|_activeQuery|driverAdapterError|\berrcode\b|decodeBase64AsWasm|undici\/lib/,
    /^src\/internals\//,
  ],
  // The sealed kubeconfig cannot be in the GraphQL schema, because its model is never registered there.
  [/(['"`])ClusterCredential\1/, /^src\/(?:domain|storage|graphql\/prisma\.generated\.ts)/],
])('%s occurs only in files that match %s', (pattern, place) => {
  const found = files.filter((file) => pattern.test(readFileSync(file, 'utf8')));
  expect(found.filter((file) => !place.test(file))).toEqual([]);
  expect(found).not.toEqual([]);
});
