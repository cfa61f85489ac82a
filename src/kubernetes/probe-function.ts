import type { Connections } from './connections.ts';
import { type ProbeResult, probe } from './probe.ts';
import type { ProbeLease, ProbeTarget } from './probe-target.ts';

/** What one attempt found, with the version of the credentials it was made with. */
export type ProbeReport = ProbeResult & { readonly credentialsVersion: number };

/** A result that counts: a failure that a second attempt has yet to confirm is none. */
export interface ProbeOutcome extends ProbeReport {
  readonly uid: string;
  readonly observedAt: Date;
  readonly lease?: ProbeLease | undefined;
}

/** How one attempt is made: with version and identity or without, and within so many milliseconds. */
export interface ProbeRunOptions {
  details: boolean;
  signal: AbortSignal;
  budgetMs: number;
}

/** Makes one attempt; a ClusterError is a result too; a ResourceError and any other error say nothing of the cluster. */
export type ProbeFunction = (target: ProbeTarget, options: ProbeRunOptions) => Promise<ProbeReport>;

/** Attempts over live connections. */
export function probeOver(connections: Connections): ProbeFunction {
  return async (target, options) => {
    const { connection, credentialsVersion } = await connections.of(target);
    return { ...(await probe(connection, options)), credentialsVersion };
  };
}
