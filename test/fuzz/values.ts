import type { Random } from './random.ts';
import { nameOf, ROLES, SERVERS_IN_REQUESTS, serverOf } from './registry.ts';

/** Lengths around every limit that the product has for lists, names, descriptions, selectors, documents and bodies. */
const LENGTHS = [0, 1, 63, 64, 253, 254, 1_000, 1_001, 10_000, 10_001, 65_537];
const HUGE_LENGTHS = [300_000, 300_000, 1_000_000, 3_900_000, 4_194_305];
const LIST_LENGTHS = [0, 1, 2, 5, 64, 65, 100, 101, 1_000, 1_001];

/** Phrases from messages that quote their input; the product's regular expressions look for them. */
const PHRASES = [
  ' cannot represent ',
  'found: ',
  'Unexpected Name "',
  'Value ',
  ' does not exist in',
  'unknown field "',
];
/** Texts that parsers, regular expressions and databases often handle badly, alone and repeated. */
const HOSTILE = [
  ...[
    '\0',
    '\ud800',
    '\udfff',
    '\u202e',
    '\r\n',
    '\t',
    ' ',
    '\\',
    '%',
    '_',
    '*',
    '?',
    "'",
    '"',
    '${',
    '{{',
    '../',
    '%2e%2e/',
  ],
  ...['a', 'A', '0', '-', 'é', '😀', 'ǅ', 'ß', '__proto__', 'constructor', 'null', '[', '{', '{"a":', '&a [*a]', '<<'],
];

export const INTEGERS = [-1, 0, 1, 2, 50, 99, 100, 101, 250, 251, 3_650, 3_651, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), 1e21];

/** Returns a hostile text, repeated up to a length near a limit; sometimes as long as a body may be. */
export function hostileText(random: Random): string {
  const length = random.chance(0.2) ? random.pick(HUGE_LENGTHS) : random.pick(LENGTHS);
  const unit = random.pick(random.chance(0.5) ? PHRASES : HOSTILE);
  const unitBytes = JSON.stringify(unit).length - 2;
  return unit.repeat(random.spend(length * unitBytes) / unitBytes).slice(0, length);
}

export function listLength(random: Random): number {
  return random.chance(0.6) ? 1 + random.below(3) : random.pick(LIST_LENGTHS);
}

/** Returns a value that no field accepts: wrong types, deep nesting, or a very large number of small values. */
export function strangeValue(random: Random): unknown {
  const many = Math.floor(random.spend(10 * random.pick([10, 10, 1_000, 1_000, 20_001, 400_000])) / 10);
  return random.pick([
    () => hostileText(random),
    () => [hostileText(random)],
    () => random.pick(INTEGERS),
    () => null,
    () => true,
    () => Array.from({ length: many }, () => ({})),
    () => Array.from({ length: many }, () => 0),
    () => Object.fromEntries(Array.from({ length: many }, (_, at) => [`k${at}`, 0])),
    () => [hostileText(random), hostileText(random)],
    () => ({ [hostileText(random)]: 1 }),
    () => nested(random.pick([10, 100, 2_000])),
  ])();
}

function nested(depth: number): unknown {
  let value: unknown = 0;
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { a: value };
  return value;
}

/**
 * Returns a label selector with one or very many requirements. Most clusters match it, so that each cluster must be
 * evaluated.
 */
export function labelSelector(random: Random): string {
  const requirements = mostly(random, [1, 2, 50, 100, 100], [101]);
  const isMet = random.chance(0.8);
  const one = (at: number) =>
    [
      `!absent-${at}`,
      `tier notin (x${at}, y${at})`,
      `size > ${at}`,
      isMet
        ? `team-${at % 4}`
        : `team-${at % 8} in (${Array.from({ length: 1 + (at % 5) }, (_, value) => `v${value}`).join(',')})`,
    ][at % 4];
  return Array.from({ length: requirements }, (_, at) => one(at)).join(',');
}

/** Returns a page size. */
export function pageLength(random: Random): number {
  return random.chance(0.85) ? random.pick([100, 100, 100, 250, 11, 12]) : random.pick(INTEGERS);
}

/** Returns a kubeconfig with one context or very many, all of them for clusters on loopback. */
function kubeconfig(random: Random): string {
  const contexts = 1 + Math.floor(random.spend(300 * random.pick([0, 0, 0, 0, 0, 1, 2, 99, 4_999, 5_000])) / 300);
  const names = Array.from({ length: contexts }, (_, at) =>
    contexts > 3 ? `context-${at}` : random.chance(0.7) ? clusterName(random) : `new-${random.below(1_000)}`,
  );
  const server = () => (random.chance(0.6) ? serverOf(random.below(SERVERS_IN_REQUESTS)) : 'https://127.0.0.1:1');
  return kubeconfigOf(names.map((name) => [name, server()]));
}

/** Returns a kubeconfig with one context for each name and server. */
export function kubeconfigOf(contexts: readonly (readonly [name: string, server: string])[]): string {
  return JSON.stringify({
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': contexts[0]?.[0] },
    clusters: contexts.map(([name, server]) => ({ name, cluster: { server } })),
    users: contexts.map(([name]) => ({ name, user: { token: 'a-token' } })),
    contexts: contexts.map(([name]) => ({ name, context: { cluster: name, user: name } })),
  });
}

/** Returns the name of a registered cluster. The first twelve clusters have an API server that answers. */
export function clusterName(random: Random): string {
  return nameOf(random.chance(0.4) ? random.below(14) : random.below(2_000));
}

/** Returns an accepted value, or sometimes one just beyond the limit. */
function mostly<T>(random: Random, accepted: readonly T[], refused: readonly T[]): T {
  return random.pick(random.chance(0.95) ? accepted : refused);
}

/**
 * Generators of texts for arguments, input fields and JSON properties, by name, prefixed with the input type where that
 * matters. Any other name gets a short word. A new name never falls into the scope of the scoped roles: that would
 * reveal hidden clusters.
 */
export const TEXTS: Readonly<Record<string, (random: Random) => string>> = {
  'ClusterBy.name': clusterName,
  'LabelInput.value': (random) => mostly(random, ['t1', '7', '', 'v'.repeat(63)], ['v'.repeat(64)]),
  name: (random) => (random.chance(0.5) ? nameOf(17 + 4 * random.below(400)) : `new-${random.below(1_000)}`),
  names: clusterName,
  contexts: clusterName,
  labelSelector,
  search: (random) => random.pick(['staging', 'cluster', 'e', 'x'.repeat(1_000), 'ſ']),
  description: (random) => 'd'.repeat(random.spend(mostly(random, [0, 1, 200, 10_000], [10_001]))),
  kubeconfig,
  config: kubeconfig,
  'KubeconfigInput.text': kubeconfig,
  prometheusURL: (random) => `http://127.0.0.1:9/${'p'.repeat(mostly(random, [0, 10, 2_029], [2_030]))}`,
  key: (random) => mostly(random, ['tier', 'size', `team-${random.below(8)}`], ['k'.repeat(64)]),
  roles: (random) => random.pick(['viewer', 'admin', ...ROLES]),
  username: (random) => `user-${random.below(20)}`,
  apiVersion: (random) => mostly(random, ['v1', 'v1', 'v1', 'apps/v1'], ['../v1']),
  kind: (random) => random.pick(['Pod', 'ConfigMap', 'Secret']),
  fieldSelector: () => 'metadata.name=a',
  namespace: (random) => mostly(random, ['default'], ['..', 'n'.repeat(64)]),
  expiresAt: (random) => random.pick(['2999-01-01T00:00:00Z', '9999-12-31T23:59:59Z']),
};
