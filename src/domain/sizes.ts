import { lazy } from '../lazy.ts';
import type { Counters, Database } from '../storage/database.ts';

/** Sizes of the tables, from which the cost of a read is estimated in advance. */
export interface TableSizes {
  readonly clusters: number;
  /** Total bytes of the text that `search` scans. */
  readonly searchBytes: number;
  readonly users: number;
  readonly apiKeys: number;
  /** Custom roles. */
  readonly roles: number;
  /** Number of audit records, at most MAX_RECORDS. */
  readonly auditRecords: number;
}

/** Counting stops here, after 10 ms in SQLite: a filter over this many records exceeds the cost limit in any case. */
const MAX_RECORDS = 1_000_000;

/**
 * Counts the table sizes once for each value of the counters (10,000 clusters: 3 ms). Refused attempts raise no
 * counter, but at most about 200 are recorded per minute.
 */
export class Sizes {
  readonly #database: Pick<Database, 'prisma'>;
  readonly #cached = lazy<TableSizes, string>(() => this.#count());

  constructor({ database }: { database: Pick<Database, 'prisma'> }) {
    this.#database = database;
  }

  /** The sizes under these counters, without a promise if they are cached. */
  of({ registry, access }: Pick<Counters, 'registry' | 'access'>): TableSizes | Promise<TableSizes> {
    return this.#cached(`${registry} ${access}`);
  }

  async #count(): Promise<TableSizes> {
    // octet_length reads only the header of a value, on both databases.
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
