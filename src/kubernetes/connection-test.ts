import { type AccessRule, readAccessRules } from './access-rules.ts';
import { ClusterError } from './cluster-error.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import { PROBE_BUDGET_MS, type ProbeResult, probe } from './probe.ts';

/** What one try of a credential found: the state, and where it works what it may do. */
export type ConnectionTestResult = ProbeResult & { readonly rules?: readonly AccessRule[] };

/** Tests a target once over a connection of its own. A ClusterError becomes the fault; any other error is a bug and is thrown. */
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
