import type { ConnectionTestResult } from '../../kubernetes/connection-test.ts';
import type { Transaction } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { type Action, refreshCaller, requireActionOnAll, requireActionOnSome } from '../access/permissions.ts';
import type { Caller } from '../access/viewer.ts';
import { type Changes, record } from '../audit.ts';
import { DomainError, type InputIssue } from '../errors.ts';
import {
  clusterFields,
  initialStatus,
  type Label,
  plainLabel,
  resetStatus,
  sameLabels,
  storedLabel,
  throwIfInvalid,
  validate,
  validateExpectedRevision,
} from './cluster.ts';
import { REMEMBERED_CHANGES } from './cluster-changes.ts';
import { type ClusterBy, type ClusterQuery, whereReadable } from './cluster-list.ts';
import {
  type CredentialInput,
  IN_CLUSTER_CREDENTIAL,
  MISSING_CREDENTIAL,
  resetForNewCredential,
  type Verification,
  validateVerification,
} from './credential.ts';
import {
  type CredentialChange,
  parseCredentialChange,
  readStored,
  storeCredentialChange,
  verifyCredentialChange,
} from './credential-change.ts';
import { findAuthorized } from './find-authorized.ts';
import type { Fleet } from './fleet.ts';
import { type ChangeContext, changeRegistry, storeKubeconfig, takeDefault } from './registry-change.ts';
import { searchText } from './search.ts';
import { credentialWarning, findDuplicates } from './warnings.ts';

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

/** Which cluster, and the revision that the caller has seen; without one any will do. */
export interface ChangeCluster {
  readonly by: ClusterBy;
  readonly expectedRevision?: number | null | undefined;
}

/** The selections of a changed cluster and of the one that lost the default. */
export interface ChangeQueries {
  readonly cluster: ClusterQuery;
  readonly previousDefault?: ClusterQuery;
}

/** Creates, updates and deletes clusters: each one transaction with its audit record. */
export class Clusters {
  readonly #registry: ChangeContext;
  readonly #fleet: Pick<Fleet, 'testConnection' | 'inCluster'>;
  readonly #fields: ReturnType<typeof clusterFields>;

  constructor(registry: ChangeContext, fleet: Pick<Fleet, 'testConnection' | 'inCluster'>) {
    this.#registry = registry;
    this.#fleet = fleet;
    this.#fields = clusterFields(registry.policy);
  }

  /**
   * Registers a cluster; `previousDefault` is the one that it takes the default from, null where the caller may not read
   * that. The caller is given the cluster as it was created, also where they may not read it: it holds only their own
   * input. FORBIDDEN; INVALID_INPUT by path; NAME_TAKEN; with CONNECT also CONNECTION_FAILED.
   */
  async create(caller: Caller, input: CreateCluster, queries: ChangeQueries) {
    requireActionOnAll(caller, 'clusters.create');
    if (input.credential?.inCluster) requireActionOnAll(caller, 'clusters.in-cluster');
    const issues: InputIssue[] = [];
    const fields = validate(this.#fields.create, input, issues);
    const verify = validateVerification(input.verify, issues);
    const given = await parseCredentialChange(caller, input.credential, {
      verify,
      policy: this.#registry.policy,
      issues,
    });
    if (!given.inCluster && !input.credential?.kubeconfig && verify !== 'NONE')
      issues.push({ path: ['credential'], message: 'is required: give a kubeconfig or inCluster: true' });
    throwIfInvalid(issues);
    if (!fields) throw new Error('fields without issues are valid');
    const { name, description = '', prometheusURL = '', enabled = true, isDefault = false, labels = [] } = fields;
    const facts = given.inCluster ? IN_CLUSTER_CREDENTIAL : (given.read?.facts ?? MISSING_CREDENTIAL);
    const trial = verify === 'CONNECT' ? await verifyCredentialChange(given, this.#fleet) : undefined;
    // Asking a cluster takes its time.
    const now = verify === 'CONNECT' ? await refreshCaller(caller) : caller;
    requireActionOnAll(now, 'clusters.create');

    return changeRegistry(this.#registry, now, async (tx, moment) => {
      const { at, registryChange } = moment;
      const holder = isDefault ? await takeDefault(tx, now, moment) : undefined;
      const { id, uid } = await tx.cluster.create({
        data: {
          ...{ name, description, prometheusURL, enabled, isDefault, inCluster: given.inCluster },
          ...facts,
          ...initialStatus({ enabled, problem: facts.credentialProblem }),
          searchText: searchText({ name, description }),
          ...{ createdAt: at, updatedAt: at, stateSince: at, registryChange },
          // None: Prisma would read the row again.
          ...(labels.length > 0 ? { labels: { create: labels.map(storedLabel) } } : {}),
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
      const registering = { name, apiServer: facts.apiServer, identity: trial?.identity };
      const duplicates = await findDuplicates(tx, now, [registering]);
      const result = await this.#result(tx, now, { id, problem: facts.credentialProblem, holder }, queries);
      return { ...result, warnings: [...result.warnings, ...duplicates] };
    });
  }

  /**
   * Changes what is given; what is so already raises no revision. NOT_FOUND; FORBIDDEN; INVALID_INPUT by path;
   * REVISION_CONFLICT with the cluster as it is; NAME_TAKEN; with CONNECT also CONNECTION_FAILED and DIFFERENT_CLUSTER.
   */
  async update(caller: Caller, input: UpdateCluster, queries: ChangeQueries) {
    authorizeUpdate(caller, input);
    const issues: InputIssue[] = [];
    const fields = validate(this.#fields.update, input, issues);
    const verify = validateVerification(input.verify, issues);
    if (input.credential === null)
      issues.push({ path: ['credential'], message: 'cannot be null: leave it out to keep the credential' });
    validateExpectedRevision(input.expectedRevision, issues);
    const given = await parseCredentialChange(caller, input.credential, {
      verify,
      policy: this.#registry.policy,
      issues,
    });
    throwIfInvalid(issues);
    if (!fields) throw new Error('fields without issues are valid');
    const change = given.leavesCluster ? { ...given, stored: await this.#readStored(caller, input) } : given;
    const trial = verify === 'CONNECT' ? await this.#tryFor(caller, input.by, change) : undefined;
    const now = verify === 'CONNECT' ? await refreshCaller(caller) : caller;
    authorizeUpdate(now, input);

    return changeRegistry(this.#registry, now, async (tx, moment) => {
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
      const facts = await storeCredentialChange(tx, this.#registry, current, change);
      if (facts) changes.credential = 'changed';
      if (Object.keys(changes).length === 0) return this.#result(tx, now, { id: current.id, problem: null }, queries);

      const holder = data.isDefault === true ? await takeDefault(tx, now, moment) : undefined;
      const { name, description, enabled } = { ...current, ...definedOf(fields) };
      const problem = facts ? facts.credentialProblem : current.credentialProblem;
      await tx.cluster.update({
        where: { id: current.id },
        data: {
          ...data,
          // A cluster that is enabled anew keeps what it knows, but an attempt from before counts no more.
          ...(changes.enabled ? resetStatus({ enabled, problem, at }) : {}),
          ...(facts ? resetForNewCredential(facts, { enabled, at }) : {}),
          searchText: searchText({ name, description }),
          revision: { increment: 1 },
          updatedAt: at,
          registryChange,
        },
        select: { id: true },
      });
      await record(tx, now, { action: 'cluster.update', at, cluster: current, changes });
      return this.#result(tx, now, { id: current.id, problem: facts?.credentialProblem ?? null, holder }, queries);
    });
  }

  /** Forgets a cluster and its credential. NOT_FOUND, FORBIDDEN, REVISION_CONFLICT, DEFAULT_CLUSTER. */
  async delete(
    caller: Caller,
    input: ChangeCluster,
    query: ClusterQuery,
  ): Promise<{ uid: string; databaseId: number }> {
    requireActionOnSome(caller, 'clusters.delete');
    const issues: InputIssue[] = [];
    validateExpectedRevision(input.expectedRevision, issues);
    throwIfInvalid(issues);
    return changeRegistry(this.#registry, caller, async (tx, { at, registryChange }) => {
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

  /** Takes the other identity that a contact met as the cluster's own. NOT_FOUND, FORBIDDEN, REVISION_CONFLICT. */
  async confirmIdentity(caller: Caller, input: ChangeCluster, query: ClusterQuery) {
    requireActionOnSome(caller, 'clusters.update');
    const issues: InputIssue[] = [];
    validateExpectedRevision(input.expectedRevision, issues);
    throwIfInvalid(issues);
    return changeRegistry(this.#registry, caller, async (tx, { at, registryChange }) => {
      const current = await this.#current(tx, caller, 'clusters.update', input, query);
      const { id, identity, otherIdentity } = current;
      if (otherIdentity) {
        const data = { identity: otherIdentity, otherIdentity: null, updatedAt: at, registryChange };
        await tx.cluster.update({ where: { id }, data: { ...data, revision: { increment: 1 } }, select: { id: true } });
        const changes = { identity: { from: identity, to: otherIdentity } };
        await record(tx, caller, { action: 'cluster.confirm-identity', at, cluster: current, changes });
      }
      return (await this.#result(tx, caller, { id, problem: null }, { cluster: query })).cluster;
    });
  }

  /** Tries what an update gives. Nothing is asked for who may not change the cluster, nor by its own credential for who may not ask it. */
  async #tryFor(caller: Caller, by: ClusterBy, given: CredentialChange): Promise<ConnectionTestResult | undefined> {
    const { prisma } = this.#registry.database;
    await findAuthorized(prisma, caller, 'clusters.update', by);
    if (given.leavesCluster) await findAuthorized(prisma, caller, 'clusters.live', by);
    return verifyCredentialChange(given, this.#fleet);
  }

  async #readStored(caller: Caller, { by, verify }: UpdateCluster) {
    const cluster = await findAuthorized(this.#registry.database.prisma, caller, 'clusters.update', by);
    // A cluster that is not in-cluster has this kubeconfig already: only a test reads it.
    const isNeeded = cluster.inCluster || verify === 'CONNECT';
    return isNeeded ? readStored(caller, this.#registry, cluster) : undefined;
  }

  /** The cluster as it stands, at the revision the caller has seen. */
  async #current(
    tx: Transaction,
    caller: Caller,
    action: Action,
    { by, expectedRevision }: ChangeCluster,
    query: ClusterQuery,
  ) {
    const current = await findAuthorized(tx, caller, action, by);
    if (expectedRevision != null && expectedRevision !== current.revision) {
      const message = `the cluster is at revision ${current.revision}, not ${expectedRevision}: read it again, then decide`;
      const seen = await tx.cluster.findUnique({ ...query, where: { id: current.id } });
      throw new DomainError('REVISION_CONFLICT', message, { current: seen });
    }
    return current;
  }

  async #result(
    tx: Transaction,
    caller: Caller,
    { id, problem, holder }: { id: number; problem: string | null; holder?: { id: number } | undefined },
    queries: ChangeQueries,
  ) {
    const cluster = await tx.cluster.findUniqueOrThrow({ ...queries.cluster, where: { id } });
    const previousDefault =
      holder && queries.previousDefault
        ? await tx.cluster.findFirst({
            ...queries.previousDefault,
            where: whereReadable(caller, { databaseId: holder.id }),
          })
        : null;
    return { cluster, previousDefault, warnings: problem ? [credentialWarning(problem)] : [] };
  }
}

function authorizeUpdate(caller: Caller, { credential, isDefault, name, labels }: UpdateCluster): void {
  requireActionOnSome(caller, 'clusters.update');
  if (credential?.inCluster) requireActionOnAll(caller, 'clusters.in-cluster');
  // Names and labels decide who may what to which cluster; the default is one of all.
  if (isDefault != null || name != null || labels !== undefined) requireActionOnAll(caller, 'clusters.update');
}

/** Of a new cluster, the values that are not what they are without being given. */
function givenValues(values: Readonly<Record<string, string | boolean>>): Changes {
  return Object.fromEntries(Object.entries(values).flatMap(([field, to]) => (to ? [[field, { to }]] : [])));
}

function differentCluster(knownUid: string, otherUid: string): DomainError {
  const message = 'the credential leads to another cluster than before: check it, or set allowDifferentCluster';
  return new DomainError('DIFFERENT_CLUSTER', message, { knownUid, otherUid });
}

function definedOf<T extends object>(fields: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}
