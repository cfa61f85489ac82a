import { chooseContext, readKubeconfig, type Target } from '../../kubernetes/kubeconfig.ts';
import type { Trial } from '../../kubernetes/trial.ts';
import type { Transaction } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import {
  type Action,
  allowedClusters,
  authorize,
  authorizeEverywhere,
  forbidden,
  presently,
} from '../access/permissions.ts';
import type { Caller } from '../access/viewer.ts';
import { type Changes, record } from '../audit.ts';
import { DomainError, type InputIssue } from '../errors.ts';
import { REMEMBERED_CHANGES } from './changes.ts';
import { check, clusterFields, type Label, refuse, storedLabel, untried, untriedState } from './cluster.ts';
import { type ClusterBy, type ClusterQuery, whereReadable } from './cluster-list.ts';
import { tryOut } from './cluster-probes.ts';
import {
  type CredentialFacts,
  type CredentialInput,
  credentialOf,
  IN_CLUSTER,
  MISSING,
  type ReadCredential,
  readCredential,
  underNewCredential,
  type Verification,
} from './credential.ts';
import { type Fleet, targetOf } from './fleet.ts';
import { changeRegistry, openKubeconfig, type Registry, storeKubeconfig, takeDefault } from './registry.ts';
import { searchText } from './search.ts';
import { findDuplicates, type Warning } from './warnings.ts';

/** Absent keeps (or takes the default), null clears; null where nothing can be cleared is INVALID_INPUT. */
interface ClusterInput {
  readonly description?: string | null | undefined;
  readonly labels?: readonly Label[] | null | undefined;
  readonly credential?: CredentialInput | null | undefined;
  readonly prometheusURL?: string | null | undefined;
  readonly isDefault?: boolean | null | undefined;
  readonly enabled?: boolean | null | undefined;
  readonly verify?: Verification | null | undefined;
}

export interface CreateCluster extends ClusterInput {
  readonly name: string;
}

export interface UpdateCluster extends ClusterInput {
  readonly by: ClusterBy;
  readonly name?: string | null | undefined;
  /** The revision the caller has seen; another one is REVISION_CONFLICT. */
  readonly expectedRevision?: number | null | undefined;
  /** With CONNECT: takes a credential that leads to another cluster, which else is DIFFERENT_CLUSTER. */
  readonly allowDifferentCluster?: boolean | null | undefined;
}

export interface DeleteCluster {
  readonly by: ClusterBy;
  readonly expectedRevision?: number | null | undefined;
}

/** The selections of a changed cluster and of the one that lost the default. */
export interface ChangeQueries {
  readonly cluster: ClusterQuery;
  readonly previousDefault?: ClusterQuery;
}

/** What an input says of the credential. */
interface Given {
  readonly inCluster: boolean;
  readonly leavesCluster: boolean;
  readonly read: ReadCredential | undefined;
}

/** Creates, updates and deletes clusters: each one transaction with its audit record. */
export class Clusters {
  readonly #registry: Registry;
  readonly #fleet: Pick<Fleet, 'try' | 'inCluster'>;
  readonly #fields: ReturnType<typeof clusterFields>;

  constructor(registry: Registry, fleet: Pick<Fleet, 'try' | 'inCluster'>) {
    this.#registry = registry;
    this.#fleet = fleet;
    this.#fields = clusterFields(registry.policy);
  }

  async create(caller: Caller, input: CreateCluster, queries: ChangeQueries) {
    authorizeEverywhere(caller, 'clusters.create');
    if (input.credential?.inCluster) authorizeEverywhere(caller, 'clusters.in-cluster');
    const issues: InputIssue[] = [];
    const fields = check(this.#fields.create, input, issues);
    const verify = checkVerify(input.verify, issues);
    const given = this.#readCredential(input.credential, verify, issues);
    if (!given.inCluster && !input.credential?.kubeconfig && verify !== 'NONE')
      issues.push({ path: ['credential'], message: 'is required: give a kubeconfig or inCluster: true' });
    refuse(issues);
    if (!fields) throw new Error('fields without issues are valid');
    const { name, description = '', prometheusURL = '', enabled = true, isDefault = false, labels = [] } = fields;
    const facts = given.inCluster ? IN_CLUSTER : (given.read?.facts ?? MISSING);
    const trial = await this.#tryOut(given, verify);
    // Asking a cluster takes its time.
    const now = verify === 'CONNECT' ? await presently(caller) : caller;
    authorizeEverywhere(now, 'clusters.create');

    return changeRegistry(this.#registry, async (tx, moment) => {
      const { at, registryChange } = moment;
      const holder = isDefault ? await takeDefault(tx, now, moment) : undefined;
      const { id, uid } = await tx.cluster.create({
        data: {
          ...{ name, description, prometheusURL, enabled, isDefault, inCluster: given.inCluster },
          ...facts,
          ...untriedState({ enabled, problem: facts.credentialProblem }),
          searchText: searchText({ name, description }),
          ...{ createdAt: at, updatedAt: at, stateSince: at, registryChange },
          labels: { create: labels.map(storedLabel) },
        },
        select: { id: true, uid: true },
      });
      if (given.read) await storeKubeconfig(tx, this.#registry, { id, uid }, given.read.kubeconfig);
      await record(tx, now, {
        action: 'cluster.create',
        at,
        cluster: { uid, id, name },
        changes: {
          name: { to: name },
          ...givenValues({ description, prometheusURL, isDefault, inCluster: given.inCluster }),
          ...(enabled ? {} : { enabled: { to: enabled } }),
          ...(labels.length > 0 ? { labels: { to: labels } } : {}),
          ...(given.read ? { credential: 'changed' } : {}),
        },
      });
      const duplicates = await findDuplicates(tx, [{ name, apiServer: facts.apiServer, identity: trial?.identity }]);
      const result = await this.#result(tx, { id, problem: facts.credentialProblem, holder }, queries);
      return { ...result, warnings: [...result.warnings, ...duplicates] };
    });
  }

  async update(caller: Caller, input: UpdateCluster, queries: ChangeQueries) {
    authorizeUpdate(caller, input);
    const issues: InputIssue[] = [];
    const fields = check(this.#fields.update, input, issues);
    const verify = checkVerify(input.verify, issues);
    if (input.credential === null)
      issues.push({ path: ['credential'], message: 'cannot be null: leave it out to keep the credential' });
    checkExpected(input.expectedRevision, issues);
    const given = this.#readCredential(input.credential, verify, issues);
    refuse(issues);
    if (!fields) throw new Error('fields without issues are valid');
    // Nothing is asked for who may not change the cluster.
    if (verify === 'CONNECT') await this.#allowed(caller, input.by, 'clusters.update');
    const trial = await this.#tryOut(given, verify, () => this.#storedTarget(caller, input.by));
    const now = verify === 'CONNECT' ? await presently(caller) : caller;
    authorizeUpdate(now, input);

    return changeRegistry(this.#registry, async (tx, moment) => {
      const { at, registryChange } = moment;
      const current = await this.#current(tx, now, 'clusters.update', input, queries.cluster);
      const data: Prisma.ClusterUpdateInput = {};
      const changes: Changes = {};
      const met = trial?.identity;
      if (met && current.identity && met !== current.identity) {
        if (!input.allowDifferentCluster) throw differentCluster(current.identity, met);
        changes.identity = { from: current.identity, to: met };
        Object.assign(data, { identity: met, otherIdentity: null });
      }
      for (const key of ['name', 'description', 'prometheusURL', 'enabled', 'isDefault'] as const) {
        const value = fields[key];
        if (value === undefined || value === current[key]) continue;
        changes[key] = { from: current[key], to: value };
        Object.assign(data, { [key]: value });
      }
      if (fields.labels && !sameLabels(fields.labels, current.labels)) {
        changes.labels = { from: current.labels.map(plainLabel), to: fields.labels };
        data.labels = { deleteMany: {}, create: fields.labels.map(storedLabel) };
      }
      const facts = await this.#changeCredential(tx, current, given);
      if (facts) changes.credential = 'changed';
      if (Object.keys(changes).length === 0) return this.#result(tx, { id: current.id, problem: null }, queries);

      const holder = data.isDefault === true ? await takeDefault(tx, now, moment) : undefined;
      const { name, description, enabled } = { ...current, ...definedOf(fields) };
      const problem = facts ? facts.credentialProblem : current.credentialProblem;
      await tx.cluster.update({
        where: { id: current.id },
        data: {
          ...data,
          // A cluster that is enabled anew keeps what it knows, but an attempt from before counts no more.
          ...(changes.enabled ? untried({ enabled, problem, at }) : {}),
          ...(facts ? underNewCredential(facts, { enabled, at }) : {}),
          searchText: searchText({ name, description }),
          revision: { increment: 1 },
          updatedAt: at,
          registryChange,
        },
      });
      await record(tx, now, { action: 'cluster.update', at, cluster: current, changes });
      return this.#result(tx, { id: current.id, problem: facts?.credentialProblem ?? null, holder }, queries);
    });
  }

  async delete(
    caller: Caller,
    input: DeleteCluster,
    query: ClusterQuery,
  ): Promise<{ uid: string; databaseId: number }> {
    authorize(caller, 'clusters.delete');
    const issues: InputIssue[] = [];
    checkExpected(input.expectedRevision, issues);
    refuse(issues);
    return changeRegistry(this.#registry, async (tx, { at, registryChange }) => {
      const current = await this.#current(tx, caller, 'clusters.delete', input, query);
      if (current.isDefault) throw new DomainError('DEFAULT_CLUSTER', 'cannot delete default cluster');
      await tx.cluster.delete({ where: { id: current.id }, select: { id: true } });
      await tx.clusterTombstone.create({ data: { clusterId: current.id, uid: current.uid, registryChange } });
      const forgotten = { registryChange: { lt: registryChange - REMEMBERED_CHANGES } };
      await tx.clusterTombstone.deleteMany({ where: forgotten });
      await record(tx, caller, {
        action: 'cluster.delete',
        at,
        cluster: current,
        changes: { name: { from: current.name } },
      });
      return { uid: current.uid, databaseId: current.id };
    });
  }

  /** Takes the other identity that a contact met as the cluster's own. */
  async confirmIdentity(caller: Caller, input: DeleteCluster, query: ClusterQuery) {
    authorize(caller, 'clusters.update');
    const issues: InputIssue[] = [];
    checkExpected(input.expectedRevision, issues);
    refuse(issues);
    return changeRegistry(this.#registry, async (tx, { at, registryChange }) => {
      const current = await this.#current(tx, caller, 'clusters.update', input, query);
      const { id, identity, otherIdentity } = current;
      if (otherIdentity) {
        const data = { identity: otherIdentity, otherIdentity: null, updatedAt: at, registryChange };
        await tx.cluster.update({ where: { id }, data: { ...data, revision: { increment: 1 } }, select: { id: true } });
        const changes = { identity: { from: identity, to: otherIdentity } };
        await record(tx, caller, { action: 'cluster.confirm-identity', at, cluster: current, changes });
      }
      return (await this.#result(tx, { id, problem: null }, { cluster: query })).cluster;
    });
  }

  /** With CONNECT the API server is asked before anything is stored. */
  async #tryOut(given: Given, verify: Verification, stored?: () => Promise<Target>): Promise<Trial | undefined> {
    const { inCluster, leavesCluster, read } = given;
    if (verify !== 'CONNECT') return undefined;
    if (read) return tryOut(this.#fleet, async () => ({ target: targetOf(read.kubeconfig, this.#registry) }));
    if (inCluster) return tryOut(this.#fleet, () => this.#fleet.inCluster());
    return leavesCluster && stored ? tryOut(this.#fleet, async () => ({ target: await stored() })) : undefined;
  }

  /** Where the stored kubeconfig leads, whether or not it is in use; for who may ask the cluster by it. */
  async #storedTarget(caller: Caller, by: ClusterBy): Promise<Target> {
    const cluster = await this.#allowed(caller, by, 'clusters.live');
    return targetOf(await openKubeconfig(this.#registry.database.prisma, this.#registry, cluster), this.#registry);
  }

  /** The cluster, for who may do this to it; NOT_FOUND and FORBIDDEN as the change itself answers. */
  async #allowed(caller: Caller, by: ClusterBy, action: Action) {
    const { prisma } = this.#registry.database;
    const cluster = await prisma.cluster.findFirst({ where: whereReadable(caller, by) });
    if (!cluster) throw new DomainError('NOT_FOUND', 'cluster not found');
    const allowed = { AND: [{ id: cluster.id }, allowedClusters(caller, action)] };
    if ((await prisma.cluster.count({ where: allowed })) === 0) throw forbidden();
    return cluster;
  }

  #readCredential(input: CredentialInput | null | undefined, verify: Verification, issues: InputIssue[]): Given {
    const { kubeconfig, inCluster } = input ?? {};
    const { policy } = this.#registry;
    const path = ['credential', 'kubeconfig'];
    const read = kubeconfig ? readCredential(kubeconfig, { verify, policy, path, issues }) : undefined;
    return { inCluster: inCluster === true, leavesCluster: inCluster === false, read };
  }

  /** The cluster as it stands, looked up and authorized in one step, at the revision the caller has seen. */
  async #current(
    tx: Transaction,
    caller: Caller,
    action: Action,
    { by, expectedRevision }: { by: ClusterBy; expectedRevision?: number | null | undefined },
    query: ClusterQuery,
  ) {
    const current = await tx.cluster.findFirst({ where: whereReadable(caller, by), include: { labels: true } });
    if (!current) throw new DomainError('NOT_FOUND', 'cluster not found');
    const allowed = { AND: [{ id: current.id }, allowedClusters(caller, action)] };
    if ((await tx.cluster.count({ where: allowed })) === 0) throw forbidden();
    if (expectedRevision != null && expectedRevision !== current.revision) {
      const message = `the cluster is at revision ${current.revision}, not ${expectedRevision}: read it again, then decide`;
      const seen = await tx.cluster.findUnique({ ...query, where: { id: current.id } });
      throw new DomainError('REVISION_CONFLICT', message, { current: seen });
    }
    return current;
  }

  /** Stores a given credential; answers with the new facts when it differs from what stands. */
  async #changeCredential(
    tx: Transaction,
    current: { id: number; uid: string; inCluster: boolean; credentialProblem: string | null },
    { inCluster, leavesCluster, read }: Given,
  ): Promise<CredentialFacts | undefined> {
    if (inCluster) return current.inCluster ? undefined : IN_CLUSTER;
    if (read) {
      const stored = await openKubeconfig(tx, this.#registry, current);
      const same =
        stored === read.kubeconfig && !current.inCluster && current.credentialProblem === read.facts.credentialProblem;
      if (same) return undefined;
      await storeKubeconfig(tx, this.#registry, current, read.kubeconfig);
      return read.facts;
    }
    if (!leavesCluster || !current.inCluster) return undefined;
    const stored = await openKubeconfig(tx, this.#registry, current);
    if (stored === undefined) return MISSING;
    return credentialOf(chooseContext(readKubeconfig(stored, this.#registry.policy)), stored).facts;
  }

  async #result(
    tx: Transaction,
    { id, problem, holder }: { id: number; problem: string | null; holder?: { id: number } | undefined },
    queries: ChangeQueries,
  ) {
    const cluster = await tx.cluster.findUniqueOrThrow({ ...queries.cluster, where: { id } });
    const previousDefault =
      holder && queries.previousDefault
        ? await tx.cluster.findUnique({ ...queries.previousDefault, where: { id: holder.id } })
        : null;
    return { cluster, previousDefault, warnings: problem ? [credentialWarning(problem)] : [] };
  }
}

function authorizeUpdate(caller: Caller, { credential, isDefault, name, labels }: UpdateCluster): void {
  authorize(caller, 'clusters.update');
  if (credential?.inCluster) authorizeEverywhere(caller, 'clusters.in-cluster');
  // Names and labels decide who may what to which cluster; the default is one of all.
  if (isDefault != null || name != null || labels !== undefined) authorizeEverywhere(caller, 'clusters.update');
}

/** Of a new cluster, the values that are not what they are without being given. */
function givenValues(values: Readonly<Record<string, string | boolean>>): Changes {
  return Object.fromEntries(Object.entries(values).flatMap(([field, to]) => (to ? [[field, { to }]] : [])));
}

function credentialWarning(problem: string): Warning {
  return { kind: 'CREDENTIAL_UNUSABLE', message: `the credential is stored but cannot be used: ${problem}` };
}

function differentCluster(knownUid: string, otherUid: string): DomainError {
  const message = 'the credential leads to another cluster than before: check it, or set allowDifferentCluster';
  return new DomainError('DIFFERENT_CLUSTER', message, { knownUid, otherUid });
}

function checkVerify(verify: Verification | null | undefined, issues: InputIssue[]): Verification {
  if (verify === null) issues.push({ path: ['verify'], message: 'cannot be null: leave it out for SYNTAX' });
  return verify ?? 'SYNTAX';
}

// A null from a variable that was never filled would overwrite what the caller means to protect.
function checkExpected(revision: number | null | undefined, issues: InputIssue[]): void {
  if (revision === null)
    issues.push({ path: ['expectedRevision'], message: 'cannot be null: leave it out to accept any revision' });
}

function plainLabel({ key, value }: Label): Label {
  return { key, value };
}

function sameLabels(left: readonly Label[], right: readonly Label[]): boolean {
  const values = new Map(right.map(({ key, value }) => [key, value]));
  return left.length === right.length && left.every(({ key, value }) => values.get(key) === value);
}

function definedOf<T extends object>(fields: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}
