import type { Caller } from '../access/caller.ts';
import type { ClusterQuery } from '../access/clusters.ts';
import { requireActionOnSome } from '../access/permissions.ts';
import { record } from '../audit/record.ts';
import { DomainError, type InputIssue } from '../errors.ts';
import { type ChangeCluster, changeCluster, REMEMBERED_CHANGES } from '../registry-change.ts';
import { throwIfInvalid } from '../validation.ts';
import { type ClusterContext, type ClusterServices, resultOf } from './changed-cluster.ts';
import { clusterFields } from './cluster.ts';
import {
  type ChangeQueries,
  type CreateCluster,
  type UpdateCluster,
  validateExpectedRevision,
} from './cluster-input.ts';
import { createCluster } from './create-cluster.ts';
import { updateCluster } from './update-cluster.ts';

/** Creates, updates and deletes clusters. Each change is one transaction, which also writes the audit record. */
export class Clusters {
  readonly #context: ClusterContext;

  constructor(services: ClusterServices) {
    this.#context = { ...services, fields: clusterFields(services.registry.policy) };
  }

  /**
   * Registers a cluster. `previousDefault` is the cluster that was the default until now; null if the caller may not read
   * it. The created cluster is returned even if the caller may not read it, because it contains only their own input.
   * Throws FORBIDDEN, INVALID_INPUT with paths, NAME_TAKEN; with CONNECT also CONNECTION_FAILED.
   */
  create(caller: Caller, input: CreateCluster, queries: ChangeQueries) {
    const run = () => createCluster(this.#context, caller, input, queries);
    return this.#context.registry.audit.recordIfRefused(caller, 'cluster.create', run);
  }

  /**
   * Changes the fields that are present. An update that changes nothing keeps the revision. Throws NOT_FOUND, FORBIDDEN,
   * INVALID_INPUT with paths, REVISION_CONFLICT with the current cluster, NAME_TAKEN; with CONNECT also CONNECTION_FAILED and
   * DIFFERENT_CLUSTER.
   */
  update(caller: Caller, input: UpdateCluster, queries: ChangeQueries) {
    const run = () => updateCluster(this.#context, caller, input, queries);
    return this.#context.registry.audit.recordIfRefused(caller, 'cluster.update', run, input.by);
  }

  /** Deletes a cluster and its credential. Throws NOT_FOUND, FORBIDDEN, REVISION_CONFLICT, DEFAULT_CLUSTER. */
  delete(caller: Caller, input: ChangeCluster, query: ClusterQuery): Promise<{ uid: string; databaseId: number }> {
    const run = () => this.#delete(caller, input, query);
    return this.#context.registry.audit.recordIfRefused(caller, 'cluster.delete', run, input.by);
  }

  async #delete(caller: Caller, input: ChangeCluster, query: ClusterQuery) {
    const deleter = requireActionOnSome(caller, 'clusters.delete');
    throwIfRevisionIsNull(input);
    const target = { ...input, action: 'clusters.delete', query } as const;
    return changeCluster(this.#context.registry, deleter, target, async (tx, current, { at, registryChange }) => {
      if (current.isDefault) throw new DomainError('DEFAULT_CLUSTER', 'cannot delete default cluster');
      const { id, uid, name } = current;
      await tx.cluster.delete({ where: { id }, select: { id: true } });
      await tx.clusterTombstone.create({ data: { clusterId: id, uid, registryChange } });
      const expired = { registryChange: { lt: registryChange - REMEMBERED_CHANGES } };
      await tx.clusterTombstone.deleteMany({ where: expired });
      const changes = { name: { from: name } };
      await record(tx, caller, { action: 'cluster.delete', at, cluster: current, changes });
      return { uid, databaseId: id };
    });
  }

  /**
   * Accepts the different identity that the last probe found as the cluster's identity. Throws NOT_FOUND, FORBIDDEN,
   * REVISION_CONFLICT.
   */
  confirmIdentity(caller: Caller, input: ChangeCluster, query: ClusterQuery) {
    const run = () => this.#confirmIdentity(caller, input, query);
    return this.#context.registry.audit.recordIfRefused(caller, 'cluster.confirm-identity', run, input.by);
  }

  async #confirmIdentity(caller: Caller, input: ChangeCluster, query: ClusterQuery) {
    const updater = requireActionOnSome(caller, 'clusters.update');
    throwIfRevisionIsNull(input);
    const target = { ...input, action: 'clusters.update', query } as const;
    return changeCluster(this.#context.registry, updater, target, async (tx, current, { at, registryChange }) => {
      const { id, identity, otherIdentity } = current;
      if (otherIdentity) {
        const data = { identity: otherIdentity, otherIdentity: null, updatedAt: at, registryChange };
        await tx.cluster.update({ where: { id }, data: { ...data, revision: { increment: 1 } }, select: { id: true } });
        const changes = { identity: { from: identity, to: otherIdentity } };
        await record(tx, caller, { action: 'cluster.confirm-identity', at, cluster: current, changes });
      }
      return (await resultOf(tx, caller, { id }, { cluster: query })).cluster;
    });
  }
}

function throwIfRevisionIsNull(input: ChangeCluster): void {
  const issues: InputIssue[] = [];
  validateExpectedRevision(input, issues);
  throwIfInvalid(issues);
}
