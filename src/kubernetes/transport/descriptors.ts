import { readFileSync } from 'node:fs';

/**
 * File descriptors for the database, the log, files and up to 96 concurrent
 * DNS lookups (two each, including their sockets).
 */
const RESERVED = 256;
/** Maximum connections from callers: as many as a busy reverse proxy keeps open. */
const MAX_CALLERS = 4_096;

/**
 * Socket limits per purpose, so that neither callers nor clusters exhaust
 * the descriptors of the other or of the database.
 */
export interface DescriptorShares {
  /** The process's limit of open files; Infinity if it cannot be read. */
  readonly limit: number;
  readonly callers: number;
  readonly clusters: number;
}

/**
 * Divides this process's descriptors: after a reserve, a quarter for callers (at most 4,096), the rest for clusters.
 */
export function shareDescriptors(limit = readDescriptorLimit()): DescriptorShares {
  const free = limit - Math.min(RESERVED, limit / 2);
  const callers = Math.min(MAX_CALLERS, Math.floor(free / 4));
  return { limit, callers, clusters: Math.floor(free - callers) };
}

/** Returns the limit of open files that is needed for this many sockets to clusters. */
export function limitForClusters(clusters: number): number {
  const callers = Math.min(MAX_CALLERS, Math.ceil(clusters / 3));
  return RESERVED + callers + clusters;
}

/** Reads the soft limit of open files, which Node raises to the hard limit when it starts. */
export function readDescriptorLimit(file = '/proc/self/limits'): number {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync(file, 'utf8'))?.[1];
    return limit === undefined ? Number.POSITIVE_INFINITY : Number(limit);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
