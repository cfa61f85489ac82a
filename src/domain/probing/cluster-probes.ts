import type { ConnectionTestResult } from '../../kubernetes/prober/connection-test.ts';
import type { Caller } from '../access/caller.ts';
import { type ClusterBy, type ClusterQuery, findAuthorized, whereReadable } from '../access/clusters.ts';
import { requireActionOnAll, requireActionOnSome } from '../access/permissions.ts';
import { type CredentialInput, parseNewCredential } from '../credentials/credential-input.ts';
import type { CredentialStore } from '../credentials/credential-store.ts';
import { DomainError, type InputIssue } from '../errors.ts';
import type { ChangeContext } from '../registry-change.ts';
import { throwIfInvalid } from '../validation.ts';
import { testConnection } from './connection-tests.ts';
import type { Fleet } from './fleet.ts';

export type { ConnectionTestResult };

interface TestConnection {
  readonly by?: ClusterBy | undefined;
  readonly credential?: CredentialInput | null | undefined;
}

/** Connection tests and probes that a caller requests. */
export class ClusterProbes {
  readonly #registry: ChangeContext;
  readonly #credentials: CredentialStore;
  readonly #fleet: Fleet;

  constructor(options: { registry: ChangeContext; credentials: CredentialStore; fleet: Fleet }) {
    this.#registry = options.registry;
    this.#credentials = options.credentials;
    this.#fleet = options.fleet;
  }

  /**
   * Tests the stored credential of a cluster (`by`), or a credential that is not stored. Throws CONNECTION_FAILED with
   * the reason.
   */
  test(caller: Caller, input: TestConnection): Promise<ConnectionTestResult> {
    return this.#registry.audit.recordIfRefused(caller, 'cluster.test', () => this.#test(caller, input), input.by);
  }

  async #test(caller: Caller, { by, credential }: TestConnection): Promise<ConnectionTestResult> {
    if (by) {
      requireActionOnSome(caller, 'clusters.live');
      const { uid } = await findAuthorized(this.#registry.database.prisma, caller, 'clusters.live', by);
      return testConnection(this.#fleet, () => this.#credentials.open(uid));
    }
    requireActionOnAll(caller, 'clusters.create');
    if (credential?.inCluster) requireActionOnAll(caller, 'clusters.in-cluster');
    const issues: InputIssue[] = [];
    const { policy } = this.#registry;
    const parsed = await parseNewCredential(caller, credential, { verify: 'SYNTAX', policy, issues });
    throwIfInvalid(issues);
    return testConnection(this.#fleet, () => this.#credentials.connectionSource(parsed));
  }

  /**
   * Probes a cluster now and returns it with its new status. A disabled or unusable cluster is returned without a
   * probe.
   */
  probe(caller: Caller, by: ClusterBy, query: ClusterQuery) {
    return this.#registry.audit.recordIfRefused(caller, 'cluster.probe', () => this.#probe(caller, by, query), by);
  }

  async #probe(caller: Caller, by: ClusterBy, query: ClusterQuery) {
    requireActionOnSome(caller, 'clusters.live');
    const { uid } = await findAuthorized(this.#registry.database.prisma, caller, 'clusters.live', by);
    await this.#fleet.probeNow(uid);
    const cluster = await this.#registry.database.prisma.cluster.findFirst({
      ...query,
      where: whereReadable(caller, { uid }),
    });
    if (!cluster) throw notFound();
    return cluster;
  }
}

function notFound(): DomainError {
  return new DomainError('NOT_FOUND', 'cluster not found');
}
