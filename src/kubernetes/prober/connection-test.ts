import { type AccessRule, readAccessRules } from '../api/access-rules.ts';
import { ClusterError } from '../cluster-error.ts';
import { Connection, type ConnectionOptions } from '../transport/connection.ts';
import { PROBE_BUDGET_MS, type ProbeResult, probe } from './probe.ts';

/** The result of one connection test: the cluster's state and, if the credential works, its permissions. */
export type ConnectionTestResult = ProbeResult & { readonly rules?: readonly AccessRule[] };

/**
 * Tests a target once over a new connection. A ClusterError becomes the result's `fault`; any other error is thrown.
 */
export async function testTarget(options: ConnectionOptions, signal?: AbortSignal): Promise<ConnectionTestResult> {
  let connection: Connection | undefined;
  try {
    connection = new Connection(options);
    const result = await probe(connection, { details: true, signal });
    if (result.state !== 'READY' && result.state !== 'DEGRADED') return result;
    const namespace = options.target.namespace ?? 'default';
    const rules = await readAccessRules(connection, namespace, { signal, timeoutMs: PROBE_BUDGET_MS });
    return rules ? { ...result, rules } : result;
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    return { state: 'UNREACHABLE', latencyMs: 0, fault: { code: error.code, message: error.message } };
  } finally {
    await connection?.close();
  }
}
