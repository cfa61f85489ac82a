import { ClusterError } from '../../kubernetes/cluster-error.ts';
import type { ConnectionTestResult } from '../../kubernetes/prober/connection-test.ts';
import type { ConnectionSource } from '../credentials/credential-store.ts';
import { DomainError } from '../errors.ts';
import type { Fleet } from './fleet.ts';

/** Tests a connection. Throws CONNECTION_FAILED with the fault if it fails, or if `find` throws a ClusterError. */
export async function testConnection(
  fleet: Pick<Fleet, 'testConnection'>,
  find: () => Promise<ConnectionSource>,
): Promise<ConnectionTestResult> {
  const failed = (fault: { code: string; message: string }) =>
    new DomainError('CONNECTION_FAILED', fault.message, { fault });
  const source = await find().catch((error: unknown) => {
    throw error instanceof ClusterError ? failed({ code: error.code, message: error.message }) : error;
  });
  const result = await fleet.testConnection(source);
  if (result.state === 'READY' || result.state === 'DEGRADED') return result;
  throw failed(result.fault ?? { code: 'UNKNOWN', message: 'the cluster cannot be reached' });
}
