import { ClusterError } from '../../kubernetes/cluster-error.ts';
import type { ConnectionTestResult } from '../../kubernetes/prober/connection-test.ts';
import { MISSING_CREDENTIAL, targetOf } from '../credentials/credential.ts';
import type { CredentialChange } from '../credentials/credential-change.ts';
import { DomainError } from '../errors.ts';
import type { ConnectionSource, Fleet } from './fleet.ts';

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

/** Tests the connection with the changed credential, before anything is stored; undefined if nothing changes. */
export async function verifyCredentialChange(
  { inCluster, leavesCluster, read, stored }: CredentialChange,
  fleet: Pick<Fleet, 'testConnection' | 'inCluster'>,
): Promise<ConnectionTestResult | undefined> {
  if (inCluster && !read) return testConnection(fleet, () => fleet.inCluster());
  const credential = read ?? (leavesCluster ? (stored ?? { kubeconfig: '', facts: MISSING_CREDENTIAL }) : undefined);
  return credential && testConnection(fleet, async () => ({ target: targetOf(credential) }));
}
