/** The measurements of one operation for one size of the registry. */
export interface Row {
  readonly what: string;
  readonly clusters: number;
  readonly figures: Readonly<Record<string, number>>;
}

interface Target {
  readonly what: string;
  readonly figure: string;
  /** The sizes of the registry to which the target applies; default: every size. */
  readonly clusters?: readonly number[];
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** The names of the measured operations. */
export const WHAT = {
  list: 'REST list',
  page50: 'GraphQL page of 50, cached',
  page100: 'GraphQL page of 100, cached',
  fresh100: 'GraphQL page of 100, not cached',
  traversal: 'whole registry by cursors',
  one: 'one cluster by name',
  create: 'create',
  update: 'update',
  delete: 'delete',
  insideList: 'REST list, not cached, without HTTP',
  insidePage: 'GraphQL page of 100, not cached, without HTTP',
  firstStart: 'very first start',
  start: 'start to first 200',
  memory: 'memory after cached responses and changes',
  freshMemory: 'memory after pages that were not cached',
  imported: 'import to its response',
  ready: 'import to READY of all responding clusters',
  silent: 'import to UNREACHABLE of all silent clusters',
  version: 'create to version visible, p50',
  slowestVersion: 'create to version visible, the slowest of 40',
  probing: 'probing, CPU of one core',
  probingEach: 'probing, CPU per cluster and minute',
  connected: 'memory with open connections',
  startProbing: 'start of a fleet to first 200',
  firstRound: 'start to the end of the first probing round',
  heldUp: 'READY later than without silent clusters',
  listProbing: 'REST list while probing, of its rate without',
} as const;

/**
 * The targets. Figures: `ratio` and `p99Ratio` compare with the bare server, `timesFresh` compares with the same page
 * without the cache, `ms` are milliseconds, `MB` megabytes, and `percent` is a percentage.
 */
export const TARGETS: readonly Target[] = [
  { what: WHAT.list, figure: 'ratio', clusters: [10, 100], atLeast: 0.7 },
  { what: WHAT.list, figure: 'ratio', clusters: [1_000], atLeast: 0.8 },
  { what: WHAT.list, figure: 'p99Ratio', atMost: 3 },
  { what: WHAT.page100, figure: 'ratio', atLeast: 0.4 },
  { what: WHAT.page100, figure: 'timesFresh', atLeast: 5 },
  { what: WHAT.create, figure: 'p50', atMost: 5 },
  { what: WHAT.update, figure: 'p50', atMost: 5 },
  { what: WHAT.delete, figure: 'p50', atMost: 5 },
  { what: WHAT.insideList, figure: 'ms', clusters: [100], atMost: 2 },
  { what: WHAT.insideList, figure: 'ms', clusters: [1_000], atMost: 12 },
  { what: WHAT.insidePage, figure: 'ms', atMost: 4 },
  { what: WHAT.firstStart, figure: 'ms', atMost: 1_500 },
  { what: WHAT.start, figure: 'ms', clusters: [1_000], atMost: 1_000 },
  { what: WHAT.memory, figure: 'MB', clusters: [1_000], atMost: 200 },
  { what: WHAT.freshMemory, figure: 'MB', clusters: [1_000], atMost: 200 },
  { what: WHAT.imported, figure: 'ms', clusters: [1_000], atMost: 2_000 },
  { what: WHAT.ready, figure: 'ms', clusters: [1_000], atMost: 8_000 },
  { what: WHAT.silent, figure: 'ms', clusters: [1_000], atMost: 10_000 },
  { what: WHAT.version, figure: 'ms', atMost: 150 },
  { what: WHAT.slowestVersion, figure: 'ms', atMost: 400 },
  { what: WHAT.probing, figure: 'percent', clusters: [1_000], atMost: 5 },
  { what: WHAT.connected, figure: 'MB', clusters: [1_000], atMost: 450 },
  { what: WHAT.startProbing, figure: 'ms', atMost: 1_000 },
  { what: WHAT.firstRound, figure: 'ms', clusters: [1_000], atMost: 8_000 },
  { what: WHAT.heldUp, figure: 'ms', clusters: [1_000], atMost: 1_000 },
  { what: WHAT.listProbing, figure: 'percent', atLeast: 80 },
];

/** Compares a row with each of its targets. */
export function judge({ what, clusters, figures }: Row) {
  return TARGETS.filter(
    (target) => target.what === what && (target.clusters?.includes(clusters) ?? true) && target.figure in figures,
  ).map(({ figure, atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY }) => {
    const value = figures[figure] as number;
    return { figure, value, atLeast, atMost, reached: value >= atLeast && value <= atMost };
  });
}
