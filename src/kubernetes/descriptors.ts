import { readFileSync } from 'node:fs';

/** Descriptors for the database, the log, files and up to 96 look-ups of names at once (two each, with their sockets). */
const RESERVED = 256;
/** Connections of callers: as many as a proxy in front keeps open at its busiest. */
const MAX_CALLERS = 4_096;

/** How many sockets each side may have open, so that neither takes the descriptors of the other or of the database. */
export interface DescriptorShares {
  /** The process's limit of open files; Infinity where the system does not tell. */
  readonly limit: number;
  readonly callers: number;
  readonly clusters: number;
}

/** Divides the descriptors of this process: a reserve, a quarter of the rest for callers (4,096 at most), the rest for clusters. */
export function shareDescriptors(limit = readDescriptorLimit()): DescriptorShares {
  const free = limit - Math.min(RESERVED, limit / 2);
  const callers = Math.min(MAX_CALLERS, Math.floor(free / 4));
  return { limit, callers, clusters: Math.floor(free - callers) };
}

/** The limit of open files that lets as many sockets to clusters be open. */
export function limitForClusters(clusters: number): number {
  const callers = Math.min(MAX_CALLERS, Math.ceil(clusters / 3));
  return RESERVED + callers + clusters;
}

/** Reads the limit of open files; Node has raised the soft limit to the hard one when it started. */
export function readDescriptorLimit(file = '/proc/self/limits'): number {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync(file, 'utf8'))?.[1];
    return limit === undefined ? Number.POSITIVE_INFINITY : Number(limit);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
