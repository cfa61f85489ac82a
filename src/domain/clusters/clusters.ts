import type { ConnectionTestResult } from '../../kubernetes/prober/connection-test.ts';
import type { Transaction } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import type { Caller } from '../access/caller.ts';
import { type ClusterBy, type ClusterQuery, findAuthorized, whereReadable } from '../access/clusters.ts';
import { type AuthorizedCaller, requireActionOnAll, requireActionOnSome } from '../access/permissions.ts';
import { type Changes, record } from '../audit/record.ts';
import { initialStatus, resetStatus } from '../cluster-status.ts';
import { columnsOf, columnsOfNew, problemOf } from '../credentials/credential.ts';
import {
  type CredentialInput,
  parseCredential,
  parseNewCredential,
  type Verification,
  validateVerification,
} from '../credentials/credential-input.ts';
import type { CredentialChange, CredentialStore } from '../credentials/credential-store.ts';
import { DomainError, type InputIssue } from '../errors.ts';
import { testConnection } from '../probing/connection-tests.ts';
import type { Fleet } from '../probing/fleet.ts';
import {
  type ChangeCluster,
  type ChangeContext,
  changeCluster,
  changeRegistry,
  REMEMBERED_CHANGES,
  takeDefault,
} from '../registry-change.ts';
import { searchText } from '../text.ts';
import { throwIfInvalid, validate } from '../validation.ts';
import { clusterFields, type Label, plainLabel, sameLabels, storedLabel, validateExpectedRevision } from './cluster.ts';
import { credentialWarning, findDuplicates } from './warnings.ts';

/**
 * An absent field keeps its value (on create: takes its default). Null clears the field; for a field that cannot be cleared,
 * null is INVALID_INPUT.
 */
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

export interface UpdateCluster extends ClusterInput, ChangeCluster {
  readonly name?: string | null | undefined;
  /** With CONNECT: accepts a credential for a different cluster, which is otherwise DIFFERENT_CLUSTER. */
  readonly allowDifferentCluster?: boolean | null | undefined;
}

/** The fields to return for the changed cluster and for the previous default cluster. */
export interface ChangeQueries {
  readonly cluster: ClusterQuery;
  readonly previousDefault?: ClusterQuery;
}

/** Creates, updates and deletes clusters. Each change is one transaction, which also writes the audit record. */
export class Clusters {
  readonly #registry: ChangeContext;
  readonly #credentials: CredentialStore;
  readonly #fleet: Fleet;
  readonly #fields: ReturnType<typeof clusterFields>;

  constructor(options: { registry: ChangeContext; credentials: CredentialStore; fleet: Fleet }) {
    this.#registry = options.registry;
    this.#credentials = options.credentials;
    this.#fleet = options.fleet;
    this.#fields = clusterFields(options.registry.policy);
  }

  /**
   * Registers a cluster. `previousDefault` is the cluster that was the default until now; null if the caller may not read
   * it. The created cluster is returned even if the caller may not read it, because it contains only their own input.
   * Throws FORBIDDEN, INVALID_INPUT with paths, NAME_TAKEN; with CONNECT also CONNECTION_FAILED.
   */
  async create(caller: Caller, input: CreateCluster, queries: ChangeQueries) {
    requireActionOnAll(caller, 'clusters.create');
    if (input.credential?.inCluster) requireActionOnAll(caller, 'clusters.in-cluster');
    const issues: InputIssue[] = [];
    const fields = validate(this.#fields.create, input, issues);
    const verify = validateVerification(input.verify, issues);
    const { policy } = this.#registry;
    const credential = await parseNewCredential(caller, input.credential, { verify, policy, issues });
    throwIfInvalid(issues);
    if (!fields) throw new Error('fields without issues are valid');
    const { name, description = '', prometheusURL = '', enabled = true, isDefault = false, labels = [] } = fields;
    const [problem, inCluster] = [problemOf(credential), credential.kind === 'IN_CLUSTER'];
    const test = verify === 'CONNECT' ? await this.#test({ credential }) : undefined;
    // The connection test may take seconds, in which the caller's permissions may have changed.
    const now = verify === 'CONNECT' ? await caller.refresh() : caller;
    const creator = requireActionOnAll(now, 'clusters.create');

    return changeRegistry(this.#registry, creator, async (tx, stamp) => {
      const { at, registryChange } = stamp;
      const holder = isDefault ? await takeDefault(tx, now, stamp) : undefined;
      const { id, uid } = await tx.cluster.create({
        data: {
          ...{ name, description, prometheusURL, enabled, isDefault },
          ...columnsOf(credential),
          ...initialStatus({ enabled, problem }),
          searchText: searchText({ name, description }),
          ...{ createdAt: at, updatedAt: at, stateSince: at, registryChange },
          // Omit an empty relation: with it, Prisma would read the row again.
          ...(labels.length > 0 ? { labels: { create: labels.map(storedLabel) } } : {}),
        },
        select: { id: true, uid: true },
      });
      await this.#credentials.add(tx, [{ id, uid, credential }]);
      await record(tx, now, {
        action: 'cluster.create',
        at,
        cluster: { uid, id, name },
        changes: {
          name: { to: name },
          ...nonDefaultValues({ description, prometheusURL, isDefault, inCluster }),
          ...(enabled ? {} : { enabled: { to: enabled } }),
          ...(labels.length > 0 ? { labels: { to: labels } } : {}),
          ...(credential.kubeconfig === undefined ? {} : { credential: 'changed' }),
        },
      });
      const registering = { name, apiServer: credential.apiServer ?? null, identity: test?.identity };
      const duplicates = await findDuplicates(tx, now, [registering]);
      const result = await this.#result(tx, now, { id, problem, holder }, queries);
      return { ...result, warnings: [...result.warnings, ...duplicates] };
    });
  }

  /**
   * Changes the fields that are present. An update that changes nothing keeps the revision. Throws NOT_FOUND, FORBIDDEN,
   * INVALID_INPUT with paths, REVISION_CONFLICT with the current cluster, NAME_TAKEN; with CONNECT also CONNECTION_FAILED and
   * DIFFERENT_CLUSTER.
   */
  async update(caller: Caller, input: UpdateCluster, queries: ChangeQueries) {
    authorizeUpdate(caller, input);
    const issues: InputIssue[] = [];
    const fields = validate(this.#fields.update, input, issues);
    const verify = validateVerification(input.verify, issues);
    if (input.credential === null)
      issues.push({ path: ['credential'], message: 'cannot be null: omit it to keep the credential' });
    validateExpectedRevision(input.expectedRevision, issues);
    const { policy } = this.#registry;
    const parsed = await parseCredential(caller, input.credential, { verify, policy, issues });
    throwIfInvalid(issues);
    if (!fields) throw new Error('fields without issues are valid');
    const change: CredentialChange =
      parsed === 'STORED' ? await this.#readStored(caller, input) : { ...(parsed && { credential: parsed }) };
    const test = verify === 'CONNECT' ? await this.#testChange(caller, input.by, change) : undefined;
    const now = verify === 'CONNECT' ? await caller.refresh() : caller;
    const updater = authorizeUpdate(now, input);

    const target = { ...input, action: 'clusters.update', query: queries.cluster } as const;
    return changeCluster(this.#registry, updater, target, async (tx, current, stamp) => {
      const { at, registryChange } = stamp;
      const data: Prisma.ClusterUpdateInput = {};
      const changes: Changes = {};
      const identity = test?.identity;
      if (identity && current.identity && identity !== current.identity) {
        if (!input.allowDifferentCluster) throw differentCluster(current.identity, identity);
        changes.identity = { from: current.identity, to: identity };
        Object.assign(data, { identity, otherIdentity: null });
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
      const credential = await this.#credentials.replace(tx, current, change);
      if (credential) changes.credential = 'changed';
      if (Object.keys(changes).length === 0) return this.#result(tx, now, { id: current.id, problem: null }, queries);

      const holder = data.isDefault === true ? await takeDefault(tx, now, stamp) : undefined;
      const { name, description, enabled } = { ...current, ...definedOf(fields) };
      const problem = credential ? problemOf(credential) : current.credentialProblem;
      await tx.cluster.update({
        where: { id: current.id },
        data: {
          ...data,
          // Enabling or disabling a cluster keeps its version, but discards probes that started before.
          ...(changes.enabled ? resetStatus({ enabled, problem, at }) : {}),
          ...(credential ? columnsOfNew(credential, { enabled, at }) : {}),
          searchText: searchText({ name, description }),
          revision: { increment: 1 },
          updatedAt: at,
          registryChange,
        },
        select: { id: true },
      });
      await record(tx, now, { action: 'cluster.update', at, cluster: current, changes });
      return this.#result(tx, now, { id: current.id, problem: credential ? problem : null, holder }, queries);
    });
  }

  /** Deletes a cluster and its credential. Throws NOT_FOUND, FORBIDDEN, REVISION_CONFLICT, DEFAULT_CLUSTER. */
  async delete(
    caller: Caller,
    input: ChangeCluster,
    query: ClusterQuery,
  ): Promise<{ uid: string; databaseId: number }> {
    const deleter = requireActionOnSome(caller, 'clusters.delete');
    const issues: InputIssue[] = [];
    validateExpectedRevision(input.expectedRevision, issues);
    throwIfInvalid(issues);
    const target = { ...input, action: 'clusters.delete', query } as const;
    return changeCluster(this.#registry, deleter, target, async (tx, current, { at, registryChange }) => {
      if (current.isDefault) throw new DomainError('DEFAULT_CLUSTER', 'cannot delete default cluster');
      await tx.cluster.delete({ where: { id: current.id }, select: { id: true } });
      await tx.clusterTombstone.create({ data: { clusterId: current.id, uid: current.uid, registryChange } });
      const expired = { registryChange: { lt: registryChange - REMEMBERED_CHANGES } };
      await tx.clusterTombstone.deleteMany({ where: expired });
      await record(tx, caller, {
        action: 'cluster.delete',
        at,
        cluster: current,
        changes: { name: { from: current.name } },
      });
      return { uid: current.uid, databaseId: current.id };
    });
  }

  /**
   * Accepts the different identity that the last probe found as the cluster's identity. Throws NOT_FOUND, FORBIDDEN,
   * REVISION_CONFLICT.
   */
  async confirmIdentity(caller: Caller, input: ChangeCluster, query: ClusterQuery) {
    const updater = requireActionOnSome(caller, 'clusters.update');
    const issues: InputIssue[] = [];
    validateExpectedRevision(input.expectedRevision, issues);
    throwIfInvalid(issues);
    const target = { ...input, action: 'clusters.update', query } as const;
    return changeCluster(this.#registry, updater, target, async (tx, current, { at, registryChange }) => {
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

  /**
   * Tests the credential of an update. Requires that the caller may update the cluster; to test with the stored credential,
   * also that the caller may read the cluster live.
   */
  async #testChange(caller: Caller, by: ClusterBy, change: CredentialChange) {
    const { prisma } = this.#registry.database;
    await findAuthorized(prisma, caller, 'clusters.update', by);
    if (change.storedVersion !== undefined) await findAuthorized(prisma, caller, 'clusters.live', by);
    return this.#test(change);
  }

  /** Tests a connection with a credential before it is stored; undefined if the credential does not change. */
  async #test({ credential }: CredentialChange): Promise<ConnectionTestResult | undefined> {
    return credential && testConnection(this.#fleet, () => this.#credentials.connectionSource(credential));
  }

  async #readStored(caller: Caller, { by, verify }: UpdateCluster): Promise<CredentialChange> {
    const cluster = await findAuthorized(this.#registry.database.prisma, caller, 'clusters.update', by);
    return this.#credentials.readStored(caller, cluster, verify === 'CONNECT');
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

function authorizeUpdate(
  caller: Caller,
  { credential, isDefault, name, labels }: UpdateCluster,
): AuthorizedCaller<'SOME'> {
  const updater = requireActionOnSome(caller, 'clusters.update');
  if (credential?.inCluster) requireActionOnAll(caller, 'clusters.in-cluster');
  // Scopes are defined by names and labels, and the default concerns all clusters: these fields need the action on all.
  if (isDefault != null || name != null || labels !== undefined) requireActionOnAll(caller, 'clusters.update');
  return updater;
}

/** The audit changes of a new cluster for fields that do not have their default: an empty text or false. */
function nonDefaultValues(values: Readonly<Record<string, string | boolean>>): Changes {
  return Object.fromEntries(Object.entries(values).flatMap(([field, to]) => (to ? [[field, { to }]] : [])));
}

function differentCluster(knownUid: string, otherUid: string): DomainError {
  const message = 'the credential is for a different cluster: check it, or set allowDifferentCluster to accept it';
  return new DomainError('DIFFERENT_CLUSTER', message, { knownUid, otherUid });
}

function definedOf<T extends object>(fields: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}
