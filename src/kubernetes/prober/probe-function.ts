import type { Connections } from '../transport/connections.ts';
import { type ProbeResult, probe } from './probe.ts';
import type { ProbeLease, ProbeTarget } from './probe-target.ts';

/** The result of one probe and the version of the credentials it used. */
export type ProbeReport = ProbeResult & { readonly credentialsVersion: number };

/** A confirmed result: the first failure of a READY cluster becomes an outcome only if a second probe fails too. */
export interface ProbeOutcome extends ProbeReport {
  readonly uid: string;
  readonly observedAt: Date;
  readonly lease?: ProbeLease | undefined;
}

/** `details`: whether to read version and identity too. `budgetMs`: the time limit of the whole probe. */
interface ProbeRunOptions {
  details: boolean;
  signal: AbortSignal;
  budgetMs: number;
}

/**
 * Probes once. A ClusterError means that the cluster failed; a
 * ResourceError or any other error is a failure on our side.
 */
export type ProbeFunction = (target: ProbeTarget, options: ProbeRunOptions) => Promise<ProbeReport>;

/** Creates a probe function that uses the shared connections. */
export function createProbe(connections: Connections): ProbeFunction {
  return async (target, options) => {
    const { connection, credentialsVersion } = await connections.of(target);
    return { ...(await probe(connection, options)), credentialsVersion };
  };
}
