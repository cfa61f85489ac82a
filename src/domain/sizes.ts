import type { Counters, Database } from '../storage/database.ts';

/** How much there is to read: what the work of a read is counted from before it is done. */
export interface Counts {
  readonly clusters: number;
  /** Bytes that `search` looks through, of all clusters together. */
  readonly searchBytes: number;
  readonly users: number;
  readonly apiKeys: number;
  /** Audit records, counted up to MAX_RECORDS. */
  readonly auditRecords: number;
}

/** Counting stops here; a read of so many is too costly anyway. */
const MAX_RECORDS = 2_000_000;
/** Audit records are counted again after so long: refused attempts raise no counter. */
const AUDIT_MS = 10_000;

/** The sizes of the tables, counted once for each value of the counters (10,000 clusters: 3 ms). */
export class Sizes {
  readonly #database: Pick<Database, 'prisma'>;
  readonly #now: () => number;
  #known: { registry: number; access: number; countedAt: number; counts: Promise<Counts> | Counts } | undefined;

  constructor({ database, now = Date.now }: { database: Pick<Database, 'prisma'>; now?: () => number }) {
    this.#database = database;
    this.#now = now;
  }

  /** The sizes under these counters; at once where they are known. */
  of({ registry, access }: Pick<Counters, 'registry' | 'access'>): Counts | Promise<Counts> {
    const known = this.#known;
    const isCurrent =
      known?.registry === registry && known.access === access && this.#now() - known.countedAt < AUDIT_MS;
    if (isCurrent) return known.counts;
    const counting = this.#count();
    const next = { registry, access, countedAt: this.#now(), counts: counting as Promise<Counts> | Counts };
    this.#known = next;
    counting.then(
      (counts) => {
        next.counts = counts;
      },
      // A count that failed is forgotten, so that the next request counts again.
      () => {
        if (this.#known === next) this.#known = undefined;
      },
    );
    return counting;
  }

  async #count(): Promise<Counts> {
    // octet_length reads no more of a row than its header, on both databases.
    const [row] = await this.#database.prisma.$queryRaw<Record<keyof Counts, unknown>[]>`SELECT
      (SELECT COUNT(*) FROM "Cluster") AS "clusters",
      (SELECT COALESCE(SUM(octet_length("searchText")), 0) FROM "Cluster") AS "searchBytes",
      (SELECT COUNT(*) FROM "User") AS "users",
      (SELECT COUNT(*) FROM "ApiKey") AS "apiKeys",
      (SELECT COUNT(*) FROM (SELECT 1 FROM "AuditRecord" LIMIT ${MAX_RECORDS}) AS "some") AS "auditRecords"`;
    const count = (name: keyof Counts) => Number(row?.[name] ?? 0);
    return {
      clusters: count('clusters'),
      searchBytes: count('searchBytes'),
      users: count('users'),
      apiKeys: count('apiKeys'),
      auditRecords: count('auditRecords'),
    };
  }
}
