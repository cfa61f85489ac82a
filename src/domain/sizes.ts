import type { Counters, Database } from '../storage/database.ts';

/** How much there is to read: what the work of a read is counted from before it is done. */
export interface TableSizes {
  readonly clusters: number;
  /** Bytes that `search` looks through, of all clusters together. */
  readonly searchBytes: number;
  readonly users: number;
  readonly apiKeys: number;
  /** Roles that users defined. */
  readonly roles: number;
  /** Audit records, counted up to MAX_RECORDS. */
  readonly auditRecords: number;
}

/** Counting stops here, after 10 ms in SQLite: to test so many records is too costly anyway. */
const MAX_RECORDS = 1_000_000;

/**
 * The sizes of the tables, counted once for each value of the counters (10,000 clusters: 3 ms). Refused attempts raise no
 * counter, but at most some 200 a minute are recorded.
 */
export class Sizes {
  readonly #database: Pick<Database, 'prisma'>;
  #known: { registry: number; access: number; counts: Promise<TableSizes> | TableSizes } | undefined;

  constructor({ database }: { database: Pick<Database, 'prisma'> }) {
    this.#database = database;
  }

  /** The sizes under these counters; at once where they are known. */
  of({ registry, access }: Pick<Counters, 'registry' | 'access'>): TableSizes | Promise<TableSizes> {
    if (this.#known?.registry === registry && this.#known.access === access) return this.#known.counts;
    const counting = this.#count();
    const next = { registry, access, counts: counting as Promise<TableSizes> | TableSizes };
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

  async #count(): Promise<TableSizes> {
    // octet_length reads no more of a row than its header, on both databases.
    const [row] = await this.#database.prisma.$queryRaw<Record<keyof TableSizes, unknown>[]>`SELECT
      (SELECT COUNT(*) FROM "Cluster") AS "clusters",
      (SELECT COALESCE(SUM(octet_length("searchText")), 0) FROM "Cluster") AS "searchBytes",
      (SELECT COUNT(*) FROM "User") AS "users",
      (SELECT COUNT(*) FROM "ApiKey") AS "apiKeys",
      (SELECT COUNT(*) FROM "Role") AS "roles",
      (SELECT COUNT(*) FROM (SELECT 1 FROM "AuditRecord" LIMIT ${MAX_RECORDS}) AS "some") AS "auditRecords"`;
    const count = (name: keyof TableSizes) => Number(row?.[name] ?? 0);
    return {
      clusters: count('clusters'),
      searchBytes: count('searchBytes'),
      users: count('users'),
      apiKeys: count('apiKeys'),
      roles: count('roles'),
      auditRecords: count('auditRecords'),
    };
  }
}
