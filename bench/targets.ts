/** Everything measured of one thing at one size of the registry. */
export interface Row {
  readonly what: string;
  readonly clusters: number;
  readonly figures: Readonly<Record<string, number>>;
}

interface Target {
  readonly what: string;
  readonly figure: string;
  /** At these sizes; at every size when absent. */
  readonly clusters?: readonly number[];
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** The names of what is measured. */
export const WHAT = {
  list: 'REST list',
  page50: 'GraphQL page of 50, kept',
  page100: 'GraphQL page of 100, kept',
  fresh100: 'GraphQL page of 100, anew',
  traversal: 'whole registry by cursors',
  one: 'one cluster by name',
  create: 'create',
  update: 'update',
  delete: 'delete',
  insideList: 'REST list anew, inside',
  insidePage: 'GraphQL page of 100 anew, inside',
  firstStart: 'very first start',
  start: 'start to first 200',
  memory: 'memory after kept answers and changes',
  freshMemory: 'memory after pages computed anew',
  imported: 'import answered',
  ready: 'all that answer READY after the import',
  silent: 'the silent ones named',
  version: 'create to version visible, p50',
  slowestVersion: 'create to version visible, the slowest of 40',
  probing: 'probing, of one core',
  probingEach: 'probing, CPU per cluster and minute',
  connected: 'memory, connections kept',
  startProbing: 'start of a fleet to first 200',
  firstRound: 'first full round of states after the start',
  heldUp: 'READY later than without the silent ones',
  listProbing: 'REST list while probing, of its rate without',
} as const;

/** What is to be reached. Figures: ratios to the bare server, `timesFresh` to the same page anew, `ms`, `MB`, `percent`. */
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

/** How a row stands against each of its targets. */
export function judge({ what, clusters, figures }: Row) {
  return TARGETS.filter(
    (target) => target.what === what && (target.clusters?.includes(clusters) ?? true) && target.figure in figures,
  ).map(({ figure, atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY }) => {
    const value = figures[figure] as number;
    return { figure, value, atLeast, atMost, reached: value >= atLeast && value <= atMost };
  });
}
