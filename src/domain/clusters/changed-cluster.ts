import type { ConnectionTestResult } from '../../kubernetes/prober/connection-test.ts';
import type { Transaction } from '../../storage/database.ts';
import type { Caller } from '../access/caller.ts';
import { whereReadable } from '../access/clusters.ts';
import type { Credential } from '../credentials/credential.ts';
import type { CredentialStore } from '../credentials/credential-store.ts';
import { testConnection } from '../probing/connection-tests.ts';
import type { Fleet } from '../probing/fleet.ts';
import type { ChangeContext } from '../registry-change.ts';
import type { clusterFields } from './cluster.ts';
import type { ChangeQueries } from './cluster-input.ts';
import { credentialWarning } from './warnings.ts';

/** The services that changes to clusters need. */
export interface ClusterServices {
  readonly registry: ChangeContext;
  readonly credentials: CredentialStore;
  readonly fleet: Fleet;
}

/** The services, and the schemas of the fields that a caller may write. */
export interface ClusterContext extends ClusterServices {
  readonly fields: ReturnType<typeof clusterFields>;
}

/** Tests a connection with a credential before it is stored. Throws CONNECTION_FAILED. */
export function testCredential(
  { credentials, fleet }: ClusterServices,
  credential: Credential,
): Promise<ConnectionTestResult> {
  return testConnection(fleet, () => credentials.connectionSource(credential));
}

/**
 * The result of a change. `problem` is that of a new credential; `previousDefaultId` identifies the cluster that was the
 * default until now.
 */
export async function resultOf(
  tx: Transaction,
  caller: Caller,
  change: { id: number; problem?: string | null; previousDefaultId?: number | undefined },
  queries: ChangeQueries,
) {
  const { id, problem, previousDefaultId } = change;
  const cluster = await tx.cluster.findUniqueOrThrow({ ...queries.cluster, where: { id } });
  const previousDefault =
    previousDefaultId !== undefined && queries.previousDefault
      ? await tx.cluster.findFirst({
          ...queries.previousDefault,
          where: whereReadable(caller, { databaseId: previousDefaultId }),
        })
      : null;
  return { cluster, previousDefault, warnings: problem ? [credentialWarning(problem)] : [] };
}
