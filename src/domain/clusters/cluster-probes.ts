import { ClusterError } from '../../kubernetes/errors.ts';
import type { Trial } from '../../kubernetes/trial.ts';
import { authorize, authorizeEverywhere } from '../access/permissions.ts';
import type { Caller } from '../access/viewer.ts';
import { DomainError, type InputIssue } from '../errors.ts';
import { refuse } from './cluster.ts';
import { type ClusterBy, type ClusterQuery, whereReadable } from './cluster-list.ts';
import { type CredentialInput, readCredential, targetOf } from './credential.ts';
import { findAllowed } from './find-allowed.ts';
import type { Fleet, Way } from './fleet.ts';
import type { Registry } from './registry.ts';

export type { Trial };

/** Tries clusters because somebody asks for it. */
export class ClusterProbes {
  readonly #registry: Registry;
  readonly #fleet: Fleet;

  constructor({ registry, fleet }: { registry: Registry; fleet: Fleet }) {
    this.#registry = registry;
    this.#fleet = fleet;
  }

  /** Tries a credential that is not stored, or that of a cluster. CONNECTION_FAILED says what is wrong. */
  async test(
    caller: Caller,
    { by, credential }: { by?: ClusterBy | undefined; credential?: CredentialInput | null | undefined },
  ): Promise<Trial> {
    if (by) {
      authorize(caller, 'clusters.live');
      const { uid } = await findAllowed(this.#registry.database.prisma, caller, 'clusters.live', by);
      return tryOut(this.#fleet, () => this.#fleet.wayTo(uid));
    }
    authorizeEverywhere(caller, 'clusters.create');
    if (credential?.inCluster) authorizeEverywhere(caller, 'clusters.in-cluster');
    const issues: InputIssue[] = [];
    const { policy } = this.#registry;
    const path = ['credential', 'kubeconfig'];
    const read = credential?.kubeconfig
      ? await readCredential(caller, credential.kubeconfig, { verify: 'SYNTAX', policy, path, issues })
      : undefined;
    if (!credential?.kubeconfig && !credential?.inCluster)
      issues.push({ path: ['credential'], message: 'give a kubeconfig or inCluster: true' });
    refuse(issues);
    return tryOut(this.#fleet, async () => (read ? { target: targetOf(read) } : this.#fleet.inCluster()));
  }

  /** Tries a cluster now and answers with what that leaves of it; one that is not probed is answered as it stands. */
  async probe(caller: Caller, by: ClusterBy, query: ClusterQuery) {
    authorize(caller, 'clusters.live');
    const { uid } = await findAllowed(this.#registry.database.prisma, caller, 'clusters.live', by);
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

/** Tries a way to a cluster; a way that leads nowhere, or is not known, is CONNECTION_FAILED with the fault. */
export async function tryOut(fleet: Pick<Fleet, 'try'>, find: () => Promise<Way>): Promise<Trial> {
  const failed = (fault: { code: string; message: string }) =>
    new DomainError('CONNECTION_FAILED', fault.message, { fault });
  const way = await find().catch((error: unknown) => {
    throw error instanceof ClusterError ? failed({ code: error.code, message: error.message }) : error;
  });
  const trial = await fleet.try(way);
  if (trial.state === 'READY' || trial.state === 'DEGRADED') return trial;
  throw failed(trial.fault ?? { code: 'UNKNOWN', message: 'the cluster cannot be reached' });
}
