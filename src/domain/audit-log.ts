import type { Database } from '../storage/database.ts';
import type { Prisma } from '../storage/generated/sqlite/client.ts';
import { hasActionOnAll, requireActionOnAll, requireViewer } from './access/permissions.ts';
import { type Caller, limitKeyOf } from './access/viewer.ts';
import { auditRow, type Changes } from './audit.ts';
import { CautiousClock } from './cautious-clock.ts';
import type { ClusterBy } from './clusters/cluster-list.ts';
import { VisibleClusters } from './clusters/visible-clusters.ts';
import { type InputIssue, invalidInput } from './errors.ts';
import { cutPage, NO_CURSOR, type PageArguments, readBounds } from './page.ts';
import { canBeName, isStorable, isStorableId, isWithin, MAX_NAME, UNSTORABLE } from './storable.ts';

export interface AuditFilter {
  /** The id of an actor (`user:3`, `api-key:1`), which holds what a person's keys did too, or a name. */
  readonly actor?: string | null | undefined;
  readonly action?: string | null | undefined;
  readonly cluster?: ClusterBy | null | undefined;
  readonly since?: Date | null | undefined;
  readonly until?: Date | null | undefined;
  readonly outcome?: string | null | undefined;
}

export interface AuditPage extends PageArguments {
  readonly filter?: AuditFilter | null | undefined;
}

export type AuditRow = Prisma.AuditRecordGetPayload<object>;

/**
 * Refused attempts that one actor, and all strangers or all others together, may have recorded within `REFUSED_MS`; more
 * are only counted. Strangers and others apart: neither can hide what the other tries.
 */
const REFUSED_BY_ONE = 20;
const REFUSED_BY_ALL = 100;
const REFUSED_MS = 60_000;
/** Refused attempts that are kept at most, whatever their age: a flood of them cannot fill the disk. */
const MAX_REFUSED = 20_000;
/** Records that are read or forgotten at once: others write in between. */
const BATCH = 500;
const DAY_MS = 24 * 60 * 60 * 1000;

/** The trail of what was changed, and of what was refused. Whoever writes one does it by `record`. */
export class AuditLog {
  readonly #database: Database;
  readonly #now: () => Date;
  readonly #cautious: CautiousClock;
  readonly #visibleClusters: VisibleClusters;
  /** What was recorded in this window, which begins at a time that no correction of the clock moves. */
  #refused = { ...newWindow(0), unrecorded: 0 };

  /** `visible` is shared with other readers of the registry. */
  constructor({
    database,
    now,
    visible = new VisibleClusters(database),
  }: {
    database: Database;
    now: () => Date;
    visible?: VisibleClusters;
  }) {
    this.#visibleClusters = visible;
    this.#database = database;
    this.#now = now;
    this.#cautious = new CautiousClock(now);
  }

  /** One page, the newest first. Whoever may read it for some clusters sees the records of those alone. */
  async page(caller: Caller, args: AuditPage) {
    requireViewer(caller);
    const { size, backward, after, before } = readBounds(args, (text) => readAuditCursor(text) ?? NO_CURSOR);
    const matching: Prisma.AuditRecordWhereInput = {
      AND: [await this.#visible(caller), whereAudit(args.filter ?? {})],
    };
    const bounds = [...(after ? [{ id: { lt: after } }] : []), ...(before ? [{ id: { gt: before } }] : [])];
    const found = await this.#read(caller, ({ auditRecord }) =>
      auditRecord.findMany({
        where: { AND: [matching, ...bounds] },
        orderBy: { id: backward ? 'asc' : 'desc' },
        take: size + 1,
      }),
    );
    const cursor = backward ? before : after;
    const behind = cursor !== undefined && { AND: [matching, { id: backward ? { lte: cursor } : { gte: cursor } }] };
    const { rows, ...more } = cutPage(
      found,
      { size, backward },
      {
        behind: behind !== false && (await this.#exists(caller, behind)),
      },
    );
    return {
      edges: rows.map((node) => ({ node, cursor: writeAuditCursor(node.id) })),
      ...more,
      totalCount: () => this.#read(caller, ({ auditRecord }) => auditRecord.count({ where: matching })),
    };
  }

  async #exists(caller: Caller, where: Prisma.AuditRecordWhereInput): Promise<boolean> {
    const read = ({ auditRecord }: Database['prisma']) => auditRecord.findFirst({ where, select: { id: true } });
    return (await this.#read(caller, read)) !== null;
  }

  #read<T>(caller: Caller, read: (prisma: Database['prisma']) => Promise<T>): Promise<T> {
    return this.#database.reads.run(limitKeyOf(requireViewer(caller)), () => read(this.#database.prisma));
  }

  /** Every record since a time, the oldest first, in batches. */
  async *export(caller: Caller, { since }: { since?: Date | undefined }): AsyncGenerator<AuditRow[]> {
    requireActionOnAll(caller, 'audit.read');
    for (let last = 0; ; ) {
      const rows = await this.#database.prisma.auditRecord.findMany({
        where: { id: { gt: last }, ...(since ? { at: { gte: since } } : {}) },
        orderBy: { id: 'asc' },
        take: BATCH,
      });
      if (rows.length > 0) yield rows;
      if (rows.length < BATCH) return;
      last = rows.at(-1)?.id ?? last;
    }
  }

  /**
   * Records an attempt that was refused. It changes nothing, and never makes the refusal itself fail. Where an earlier attempt
   * of the window gave one of the same texts as `once`, it is only counted.
   */
  async refused(
    caller: Caller,
    {
      action,
      outcome,
      by,
      changes = {},
      once = [],
    }: {
      action: string;
      outcome: string;
      by?: ClusterBy | undefined;
      changes?: Changes | (() => Promise<Changes>);
      once?: readonly string[];
    },
  ): Promise<void> {
    const unrecorded = this.#take(caller, once);
    if (unrecorded === undefined) return;
    const { prisma } = this.#database;
    try {
      const storable = by && Object.values(by).every((value) => canBeName(String(value)));
      const where = storable ? ('databaseId' in by ? { id: by.databaseId } : by) : undefined;
      const cluster = where
        ? await prisma.cluster.findFirst({ where, select: { uid: true, id: true, name: true } })
        : null;
      const given = typeof changes === 'function' ? await changes() : changes;
      const more: Changes = unrecorded > 0 ? { unrecorded: { to: unrecorded } } : {};
      const entry = { action, outcome, cluster, at: this.#now(), changes: { ...given, ...more } };
      // A turn as changes have it: where one of another replica is waited for, that leaves the connections to readers.
      await prisma.$transaction([prisma.auditRecord.create({ data: auditRow(caller, entry) })]);
    } catch {
      this.#refused.unrecorded += unrecorded + 1;
    }
  }

  /**
   * Forgets records older than so many days, and the oldest refused attempts beyond what is kept of them; the rest another
   * time once `signal` is aborted.
   */
  async prune({ days, signal }: { days: number; signal?: AbortSignal }): Promise<void> {
    await this.#forget({ at: { lt: new Date(this.#cautious.look().getTime() - days * DAY_MS) } }, signal);
    const refused = { outcome: { not: 'DONE' } };
    const [last] = await this.#database.prisma.auditRecord.findMany({
      where: refused,
      select: { id: true },
      orderBy: { id: 'desc' },
      skip: MAX_REFUSED,
      take: 1,
    });
    if (last) await this.#forget({ ...refused, id: { lte: last.id } }, signal);
  }

  async #forget(where: Prisma.AuditRecordWhereInput, signal: AbortSignal | undefined): Promise<void> {
    const { auditRecord } = this.#database.prisma;
    while (!signal?.aborted) {
      const rows = await auditRecord.findMany({ where, select: { id: true }, orderBy: { id: 'asc' }, take: BATCH });
      if (rows.length > 0) await auditRecord.deleteMany({ where: { id: { in: rows.map(({ id }) => id) } } });
      if (rows.length < BATCH) return;
    }
  }

  /** Takes one refused attempt of what may be recorded now: how many before it were not; undefined when it is not either. */
  #take({ viewer, address }: Caller, once: readonly string[]): number | undefined {
    const now = performance.now();
    if (now - this.#refused.since > REFUSED_MS)
      this.#refused = { ...newWindow(now), unrecorded: this.#refused.unrecorded };
    const refused = this.#refused;
    // A person is one, with all of their keys.
    const actor = viewer ? limitKeyOf(viewer) : (address ?? '');
    const kind = viewer ? 'others' : 'strangers';
    const times = refused.byActor.get(actor) ?? 0;
    const isRepeated = once.some((text) => refused.once.has(text));
    // What is recorded once needs no share of its actor's: it stands beside what the same actor tried before.
    const isOverShare = once.length === 0 && times >= REFUSED_BY_ONE;
    if (isRepeated || isOverShare || refused[kind] >= REFUSED_BY_ALL) {
      refused.unrecorded++;
      return undefined;
    }
    refused.byActor.set(actor, times + 1);
    refused[kind]++;
    for (const text of once) refused.once.add(text);
    const { unrecorded } = refused;
    refused.unrecorded = 0;
    return unrecorded;
  }

  /** The records a viewer may see: all of them, or those of the clusters that their roles let them audit. */
  async #visible(caller: Caller): Promise<Prisma.AuditRecordWhereInput> {
    if (caller.viewer && hasActionOnAll(caller.viewer, 'audit.read')) return {};
    const clusters = await this.#read(caller, () => this.#visibleClusters.readVisible(caller, 'audit.read'));
    return { clusterUid: { in: [...clusters.values()].map(({ uid }) => uid) } };
  }
}

function newWindow(since: number) {
  return { since, strangers: 0, others: 0, byActor: new Map<string, number>(), once: new Set<string>() };
}

function whereAudit({ actor, action, cluster, since, until, outcome }: AuditFilter): Prisma.AuditRecordWhereInput {
  const texts = { actor, action, outcome, cluster: cluster ? String(Object.values(cluster)[0]) : null };
  const issues: InputIssue[] = Object.entries(texts).flatMap(([field, text]) => {
    const problem = text == null ? undefined : problemOf(text);
    return problem === undefined ? [] : [{ path: ['filter', field], message: problem }];
  });
  if (issues.length > 0) throw invalidInput(issues);
  const person = Number(/^user:([1-9][0-9]{0,9})$/.exec(actor ?? '')?.[1]);
  return {
    ...(actor == null
      ? {}
      : { OR: [{ actorId: actor }, { actorName: actor }, ...(isStorableId(person) ? [{ userId: person }] : [])] }),
    ...(action == null ? {} : { action }),
    ...(cluster ? whereCluster(cluster) : {}),
    ...(since || until ? { at: { ...(since ? { gte: since } : {}), ...(until ? { lt: until } : {}) } } : {}),
    ...(outcome == null ? {} : { outcome }),
  };
}

/** What a record tells of each is a name, an id or a word: none is longer than a name. */
function problemOf(text: string): string | undefined {
  if (!isWithin(text, MAX_NAME)) return `must be at most ${MAX_NAME} characters`;
  return isStorable(text) ? undefined : UNSTORABLE;
}

// Records outlive their clusters, and tell the name that each had then.
function whereCluster(by: ClusterBy): Prisma.AuditRecordWhereInput {
  if ('uid' in by) return { clusterUid: by.uid };
  return 'databaseId' in by ? { clusterId: by.databaseId } : { clusterName: by.name };
}

function writeAuditCursor(id: number): string {
  return Buffer.from(`audit.${id}`).toString('base64url');
}

function readAuditCursor(text: string): number | undefined {
  const [, digits] = /^audit\.([1-9][0-9]{0,9})$/.exec(Buffer.from(text, 'base64url').toString('latin1')) ?? [];
  const id = Number(digits);
  return isStorableId(id) && writeAuditCursor(id) === text ? id : undefined;
}
