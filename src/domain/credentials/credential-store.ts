import { ClusterError, ResourceError } from '../../kubernetes/cluster-error.ts';
import { type InClusterEnvironment, readInCluster } from '../../kubernetes/kubeconfig/in-cluster.ts';
import { chooseContext, type KubeconfigReading } from '../../kubernetes/kubeconfig/kubeconfig.ts';
import { readKubeconfigOffThread, TooManyKubeconfigs } from '../../kubernetes/kubeconfig/reader.ts';
import type { KubeconfigPolicy } from '../../kubernetes/kubeconfig/target.ts';
import type { ConnectionOptions } from '../../kubernetes/transport/connection.ts';
import type { OpenedCredential } from '../../kubernetes/transport/connections.ts';
import type { Database, Transaction } from '../../storage/database.ts';
import type { Seal } from '../../storage/seal.ts';
import type { Caller } from '../access/caller.ts';
import { DomainError, invalidInput } from '../errors.ts';
import {
  type Credential,
  credentialOf,
  IN_CLUSTER_CREDENTIAL,
  MISSING_CREDENTIAL,
  problemOf,
  UNDECRYPTABLE,
  UNDECRYPTABLE_CREDENTIAL,
} from './credential.ts';
import { parseKubeconfig } from './credential-input.ts';
import { openKubeconfig, sealKubeconfig } from './sealed-kubeconfigs.ts';

/** How to connect to a cluster: its target, and a source of tokens if the target has no fixed one. */
export type ConnectionSource = Pick<ConnectionOptions, 'target' | 'token'>;

/** The change of a cluster's credential. */
export interface CredentialChange {
  /** The new credential; absent if the cluster already uses the stored kubeconfig that the input requests. */
  readonly credential?: Credential;
  /** The `credentialsVersion` at which the stored kubeconfig was read, if the input requests that. */
  readonly storedVersion?: number;
}

interface Row {
  readonly id: number;
  readonly uid: string;
  readonly inCluster: boolean;
  readonly credentialsVersion: number;
  readonly credentialProblem: string | null;
}

/** The credentials of the registered clusters: seals and opens their kubeconfigs, and turns a credential into a connection. */
export class CredentialStore {
  readonly #database: Database;
  readonly #seal: Seal;
  readonly #policy: KubeconfigPolicy;
  readonly #inCluster: InClusterEnvironment;

  constructor(options: { database: Database; seal: Seal; policy: KubeconfigPolicy; inCluster: InClusterEnvironment }) {
    this.#database = options.database;
    this.#seal = options.seal;
    this.#policy = options.policy;
    this.#inCluster = options.inCluster;
  }

  /**
   * How to connect with a credential: the one place where a credential becomes a target with a source of tokens. Throws a
   * ClusterError with the reason if that is not possible.
   */
  async connectionSource(credential: Credential): Promise<ConnectionSource> {
    switch (credential.kind) {
      case 'IN_CLUSTER':
        return readInCluster(this.#inCluster);
      case 'KUBECONFIG':
        return { target: credential.target };
      case 'UNUSABLE':
        throw unusable(credential.problem);
    }
  }

  /** How to connect to a stored cluster. Throws a ClusterError with the reason if that is not possible. */
  async open(uid: string): Promise<OpenedCredential> {
    // An unusable kubeconfig may be 4 MiB long. Its problem is stored beside it, so that it need not be read again.
    const row = await this.#database.prisma.cluster.findUnique({
      where: { uid, enabled: true, credentialProblem: null },
      select: { inCluster: true, credentialsVersion: true, credential: { select: { sealed: true } } },
    });
    if (!row) throw await this.#closedError(uid);
    const read = (text: string) => readKubeconfigOffThread(text, this.#policy).catch(toResourceError);
    const credential = row.inCluster ? IN_CLUSTER_CREDENTIAL : await this.#parse(uid, row.credential, read);
    return { credentialsVersion: row.credentialsVersion, ...(await this.connectionSource(credential)) };
  }

  /**
   * Reads the stored kubeconfig for an update that switches the cluster to it. If the cluster already uses it, nothing
   * changes, and the kubeconfig is read only if `isTested`. Throws INVALID_INPUT if the kubeconfig cannot be decrypted. Call
   * this before the transaction, which must not wait for the parser.
   */
  async readStored(caller: Caller, { id, uid, inCluster, credentialsVersion }: Row, isTested: boolean) {
    const change = { storedVersion: credentialsVersion };
    if (!inCluster && !isTested) return change;
    const row = await this.#database.prisma.clusterCredential.findUnique({ where: { clusterId: id } });
    const credential = await this.#parse(uid, row, (text) => parseKubeconfig(caller, text, this.#policy));
    if (inCluster && credential === UNDECRYPTABLE_CREDENTIAL)
      throw invalidInput([{ path: ['credential', 'inCluster'], message: UNDECRYPTABLE }]);
    return { ...change, credential };
  }

  /** Seals and stores the kubeconfigs of new clusters. */
  async add(tx: Transaction, clusters: readonly { id: number; uid: string; credential: Credential }[]): Promise<void> {
    const sealer = this.#seal.sealer();
    const data = clusters.flatMap(({ id, uid, credential: { kubeconfig } }) =>
      kubeconfig === undefined ? [] : { clusterId: id, ...sealKubeconfig(sealer, uid, kubeconfig) },
    );
    if (data.length > 0) await tx.clusterCredential.createMany({ data });
  }

  /** Stores a changed credential. Returns it for the columns of the cluster; undefined if it is the same as before. */
  async replace(
    tx: Transaction,
    current: Row,
    { credential, storedVersion }: CredentialChange,
  ): Promise<Credential | undefined> {
    if (storedVersion !== undefined) {
      if (!current.inCluster) return undefined;
      // The stored kubeconfig was read before the transaction: it may have been replaced since.
      if (!credential || storedVersion !== current.credentialsVersion)
        throw new DomainError('UNAVAILABLE', 'The kubeconfig of the cluster has just been replaced: try again');
      return credential;
    }
    if (credential?.kubeconfig === undefined) return current.inCluster ? undefined : credential;
    if (await this.#isStored(tx, current, credential)) return undefined;
    const row = sealKubeconfig(this.#seal.sealer(), current.uid, credential.kubeconfig);
    await tx.clusterCredential.upsert({
      ...{ where: { clusterId: current.id }, create: { clusterId: current.id, ...row }, update: row },
      select: { clusterId: true },
    });
    return credential;
  }

  /** Whether a cluster has this credential. One that cannot be decrypted equals no other, so that any can replace it. */
  async #isStored(tx: Transaction, current: Row, credential: Credential): Promise<boolean> {
    if (current.inCluster || current.credentialProblem !== problemOf(credential)) return false;
    const row = await tx.clusterCredential.findUnique({ where: { clusterId: current.id } });
    return row !== null && openKubeconfig(this.#seal, current.uid, row.sealed).kubeconfig === credential.kubeconfig;
  }

  async #parse(
    uid: string,
    row: { sealed: string } | null,
    read: (text: string) => Promise<KubeconfigReading>,
  ): Promise<Credential> {
    if (!row) return MISSING_CREDENTIAL;
    const { kubeconfig } = openKubeconfig(this.#seal, uid, row.sealed);
    return kubeconfig === undefined
      ? UNDECRYPTABLE_CREDENTIAL
      : credentialOf(chooseContext(await read(kubeconfig)), kubeconfig);
  }

  /** Why the credential of a cluster is not opened. */
  async #closedError(uid: string): Promise<ClusterError> {
    const row = await this.#database.prisma.cluster.findUnique({
      where: { uid },
      select: { enabled: true, credentialProblem: true },
    });
    if (!row) return unusable('the cluster is no longer registered');
    // The caller may have read the row before the cluster was disabled: it must not reopen the connection just closed.
    if (!row.enabled) return disabledError();
    return unusable(row.credentialProblem ?? 'the credential of the cluster has just been replaced: try again');
  }
}

export function disabledError(): ClusterError {
  return new ClusterError('DISABLED', 'the cluster is disabled: enable it to call it');
}

function unusable(reason: string): ClusterError {
  return new ClusterError('CREDENTIAL_UNUSABLE', reason);
}

function toResourceError(error: unknown): never {
  throw error instanceof TooManyKubeconfigs ? new ResourceError('too many kubeconfigs are being read') : error;
}
