import type { Database } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { type Caller, limitKeyOf } from '../access/caller.ts';
import type { ClusterBy } from '../access/clusters.ts';
import { hasActionOnAll, requireActionOnAll, requireViewer } from '../access/permissions.ts';
import { parseViewerId } from '../access/viewer-id.ts';
import { VisibleClusters } from '../access/visible-clusters.ts';
import { CautiousClock } from '../cautious-clock.ts';
import { DomainError, type ErrorCode, type InputIssue, invalidInput } from '../errors.ts';
import { cutPage, INVALID_CURSOR, type PageArguments, readBounds } from '../page.ts';
import { canBeName, isStorable, isStorableId, isWithin, MAX_NAME, UNSTORABLE } from '../storable.ts';
import { type AuditAction, auditRow, type Changes } from './record.ts';

interface AuditFilter {
  /**
   * The id of an actor, such as `user:3` or `api-key:1`, or its name. The id of a user also matches the records of
   * their API keys.
   */
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
 * Maximum number of refused attempts that are recorded within `REFUSED_MS`: per actor, and for all anonymous and for
 * all authenticated callers together. Further attempts are only counted. The two kinds of callers have separate limits,
 * so that neither can hide the attempts of the other.
 */
const REFUSED_PER_ACTOR = 20;
const REFUSED_PER_KIND = 100;
const REFUSED_MS = 60_000;
/** Maximum number of stored refused attempts of any age, so that a flood of them cannot fill the disk. */
const MAX_REFUSED = 20_000;
/** Number of records that are read or deleted at once, so that other writers can write in between. */
const BATCH = 500;
const DAY_MS = 24 * 60 * 60 * 1000;

/** Reads and prunes the audit log, and records refused attempts. Changes write their own records with `record`. */
export class AuditLog {
  readonly #database: Database;
  readonly #now: () => Date;
  readonly #cautiousClock: CautiousClock;
  readonly #visibleClusters: VisibleClusters;
  /** The refused attempts of the current window. The window uses the monotonic clock. */
  #refused = { ...newWindow(0), unrecorded: 0 };

  /** `visible` can be shared with other readers of the registry. */
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
    this.#cautiousClock = new CautiousClock(now);
  }

  /** Returns one page, newest record first. A caller with `audit.read` on some clusters sees only their records. */
  async page(caller: Caller, args: AuditPage) {
    requireViewer(caller);
    const { size, backward, after, before } = readBounds(args, (text) => readAuditCursor(text) ?? INVALID_CURSOR);
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

  /** Yields every record since a time, oldest first, in batches. */
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
   * Records a refused attempt. It never throws, so that the caller gets the original error. If an earlier attempt of
   * the same window passed one of the same `once` keys, the attempt is only counted.
   */
  async recordRefusal(
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
    const unrecorded = this.#admitRefusal(caller, once);
    if (unrecorded === undefined) return;
    const { prisma } = this.#database;
    try {
      const storable = by && Object.values(by).every((value) => canBeName(String(value)));
      const where = storable ? ('databaseId' in by ? { id: by.databaseId } : by) : undefined;
      const cluster = where
        ? await prisma.cluster.findFirst({ where, select: { uid: true, id: true, name: true } })
        : null;
      const resolvedChanges = typeof changes === 'function' ? await changes() : changes;
      const more: Changes = unrecorded > 0 ? { unrecorded: { to: unrecorded } } : {};
      const entry = { action, outcome, cluster, at: this.#now(), changes: { ...resolvedChanges, ...more } };
      // Use a transaction to queue like other writes: while this write waits for another replica, it does not occupy
      // the connections of readers.
      await prisma.$transaction([prisma.auditRecord.create({ data: auditRow(caller, entry) })]);
    } catch {
      this.#refused.unrecorded += unrecorded + 1;
    }
  }

  /**
   * Runs an operation, and records it if the caller is refused: without permission, or too often. Mistakes in the input
   * are not recorded, and a success writes its own record in the transaction of its change. `by`: the cluster that the
   * operation is about.
   */
  async recordIfRefused<T>(
    caller: Caller,
    action: AuditAction,
    operation: () => Promise<T>,
    by?: ClusterBy,
  ): Promise<T> {
    try {
      return await operation();
    } catch (error) {
      if (error instanceof DomainError && RECORDED_CODES.has(error.code))
        await this.recordRefusal(caller, { action, outcome: error.code, by });
      throw error;
    }
  }

  /**
   * Deletes records older than `days`, and the oldest refused attempts beyond MAX_REFUSED. Stops after the current
   * batch if `signal` is aborted.
   */
  async prune({ days, signal }: { days: number; signal?: AbortSignal }): Promise<void> {
    await this.#deleteMatching({ at: { lt: new Date(this.#cautiousClock.now().getTime() - days * DAY_MS) } }, signal);
    const refused = { outcome: { not: 'DONE' } };
    const [last] = await this.#database.prisma.auditRecord.findMany({
      where: refused,
      select: { id: true },
      orderBy: { id: 'desc' },
      skip: MAX_REFUSED,
      take: 1,
    });
    if (last) await this.#deleteMatching({ ...refused, id: { lte: last.id } }, signal);
  }

  async #deleteMatching(where: Prisma.AuditRecordWhereInput, signal: AbortSignal | undefined): Promise<void> {
    const { auditRecord } = this.#database.prisma;
    while (!signal?.aborted) {
      const rows = await auditRecord.findMany({ where, select: { id: true }, orderBy: { id: 'asc' }, take: BATCH });
      if (rows.length > 0) await auditRecord.deleteMany({ where: { id: { in: rows.map(({ id }) => id) } } });
      if (rows.length < BATCH) return;
    }
  }

  /**
   * Decides whether a refused attempt is recorded now. Returns the number of unrecorded attempts before it, or
   * undefined if this attempt is only counted, too.
   */
  #admitRefusal({ viewer, address }: Caller, once: readonly string[]): number | undefined {
    const now = performance.now();
    if (now - this.#refused.since > REFUSED_MS)
      this.#refused = { ...newWindow(now), unrecorded: this.#refused.unrecorded };
    const refused = this.#refused;
    // A user and all of their API keys count as one actor.
    const actor = viewer ? limitKeyOf(viewer) : (address ?? '');
    const kind = viewer ? 'authenticated' : 'anonymous';
    const times = refused.byActor.get(actor) ?? 0;
    const isRepeated = once.some((text) => refused.once.has(text));
    // Attempts with `once` keys are exempt from the limit per actor: they are recorded in addition to earlier attempts
    // of the same actor.
    const isOverShare = once.length === 0 && times >= REFUSED_PER_ACTOR;
    if (isRepeated || isOverShare || refused[kind] >= REFUSED_PER_KIND) {
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

  /**
   * A filter for the records that the caller may see: all of them, or the records of the clusters that their roles let
   * them audit.
   */
  async #visible(caller: Caller): Promise<Prisma.AuditRecordWhereInput> {
    if (caller.viewer && hasActionOnAll(caller.viewer, 'audit.read')) return {};
    const clusters = await this.#read(caller, () => this.#visibleClusters.readVisible(caller, 'audit.read'));
    return { clusterUid: { in: [...clusters.values()].map(({ uid }) => uid) } };
  }
}

function newWindow(since: number) {
  return { since, anonymous: 0, authenticated: 0, byActor: new Map<string, number>(), once: new Set<string>() };
}

function whereAudit({ actor, action, cluster, since, until, outcome }: AuditFilter): Prisma.AuditRecordWhereInput {
  const texts = { actor, action, outcome, cluster: cluster ? String(Object.values(cluster)[0]) : null };
  const issues: InputIssue[] = Object.entries(texts).flatMap(([field, text]) => {
    const problem = text == null ? undefined : textProblem(text);
    return problem === undefined ? [] : [{ path: ['filter', field], message: problem }];
  });
  if (issues.length > 0) throw invalidInput(issues);
  const viewer = parseViewerId(actor ?? '');
  const userId = viewer?.kind === 'USER' ? viewer.id : Number.NaN;
  return {
    ...(actor == null
      ? {}
      : { OR: [{ actorId: actor }, { actorName: actor }, ...(isStorableId(userId) ? [{ userId }] : [])] }),
    ...(action == null ? {} : { action }),
    ...(cluster ? whereCluster(cluster) : {}),
    ...(since || until ? { at: { ...(since ? { gte: since } : {}), ...(until ? { lt: until } : {}) } } : {}),
    ...(outcome == null ? {} : { outcome }),
  };
}

/** The errors that are recorded. */
const RECORDED_CODES: ReadonlySet<string> = new Set<ErrorCode>(['FORBIDDEN', 'LAST_ADMIN', 'TOO_MANY_ATTEMPTS']);

/** Filter values are names, ids or constants, so none is longer than a name. */
function textProblem(text: string): string | undefined {
  if (!isWithin(text, MAX_NAME)) return `must be at most ${MAX_NAME} characters`;
  return isStorable(text) ? undefined : UNSTORABLE;
}

// Records outlive their clusters and store the name that the cluster had at the time.
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
