import type { ConnectionTestResult } from '../../kubernetes/prober/connection-test.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import type { Caller } from '../access/caller.ts';
import { findAuthorized } from '../access/clusters.ts';
import { type AuthorizedCaller, requireActionOnAll, requireActionOnSome } from '../access/permissions.ts';
import { type Changes, record } from '../audit/record.ts';
import { resetStatus } from '../cluster-status.ts';
import { columnsOfNew, problemOf } from '../credentials/credential.ts';
import { parseCredential, validateVerification } from '../credentials/credential-input.ts';
import type { CredentialChange } from '../credentials/credential-store.ts';
import { DomainError, type InputIssue } from '../errors.ts';
import { changeCluster, takeDefault } from '../registry-change.ts';
import { searchText } from '../text.ts';
import { throwIfInvalid, validate } from '../validation.ts';
import { type ClusterContext, resultOf, testCredential } from './changed-cluster.ts';
import { plainLabel, sameLabels, storedLabel } from './cluster.ts';
import { type ChangeQueries, type UpdateCluster, validateExpectedRevision } from './cluster-input.ts';

type Fields = ReturnType<ClusterContext['fields']['update']['parse']>;
type Current = Awaited<ReturnType<typeof findAuthorized>>;

/** Updates a cluster: see `Clusters.update`. */
export async function updateCluster(
  context: ClusterContext,
  caller: Caller,
  input: UpdateCluster,
  queries: ChangeQueries,
) {
  authorizeUpdate(caller, input);
  const { registry, credentials } = context;
  const { policy } = registry;
  const issues: InputIssue[] = [];
  const fields = validate(context.fields.update, input, issues);
  const verify = validateVerification(input.verify, issues);
  if (input.credential === null)
    issues.push({ path: ['credential'], message: 'cannot be null: omit it to keep the credential' });
  validateExpectedRevision(input, issues);
  const parsed = await parseCredential(caller, input.credential, { verify, policy, issues });
  throwIfInvalid(issues);
  if (!fields) throw new Error('fields without issues are valid');
  const change: CredentialChange =
    parsed === 'STORED' ? await readStored(context, caller, input) : { ...(parsed && { credential: parsed }) };
  const test = verify === 'CONNECT' ? await testChange(context, caller, input, change) : undefined;
  // The connection test may take seconds, in which the caller's permissions may have changed.
  const now = verify === 'CONNECT' ? await caller.refresh() : caller;
  const updater = authorizeUpdate(now, input);

  const target = { ...input, action: 'clusters.update', query: queries.cluster } as const;
  return changeCluster(registry, updater, target, async (tx, current, stamp) => {
    const { at, registryChange } = stamp;
    const { data, changes } = compare(current, fields);
    const identity = changedIdentity(current, test);
    if (identity) {
      if (!input.allowDifferentCluster) throw differentCluster(identity);
      changes.identity = identity;
      Object.assign(data, { identity: identity.to, otherIdentity: null });
    }
    const credential = await credentials.replace(tx, current, change);
    if (credential) changes.credential = 'changed';
    const { id } = current;
    if (Object.keys(changes).length === 0) return resultOf(tx, now, { id }, queries);

    const holder = data.isDefault === true ? await takeDefault(tx, now, stamp) : undefined;
    const { name = current.name, description = current.description, enabled = current.enabled } = fields;
    const problem = credential ? problemOf(credential) : current.credentialProblem;
    await tx.cluster.update({
      where: { id },
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
    const newProblem = credential ? problem : null;
    return resultOf(tx, now, { id, problem: newProblem, previousDefaultId: holder?.id }, queries);
  });
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

async function readStored({ registry, credentials }: ClusterContext, caller: Caller, { by, verify }: UpdateCluster) {
  const cluster = await findAuthorized(registry.database.prisma, caller, 'clusters.update', by);
  return credentials.readStored(caller, cluster, verify === 'CONNECT');
}

/**
 * Tests the credential of an update; undefined if it does not change. Requires that the caller may update the cluster; to
 * test with the stored credential, also that the caller may read the cluster live.
 */
async function testChange(
  context: ClusterContext,
  caller: Caller,
  { by }: UpdateCluster,
  { credential, storedVersion }: CredentialChange,
): Promise<ConnectionTestResult | undefined> {
  const { prisma } = context.registry.database;
  await findAuthorized(prisma, caller, 'clusters.update', by);
  if (storedVersion !== undefined) await findAuthorized(prisma, caller, 'clusters.live', by);
  return credential && testCredential(context, credential);
}

/** The columns that an update changes, and the changes for the audit record. */
function compare(current: Current, fields: Fields): { data: Prisma.ClusterUpdateInput; changes: Changes } {
  const data: Prisma.ClusterUpdateInput = {};
  const changes: Changes = {};
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
  return { data, changes };
}

/** The known and the new identity if a connection test has reached another cluster; undefined otherwise. */
function changedIdentity({ identity: from }: Current, test: ConnectionTestResult | undefined) {
  const to = test?.identity;
  return from && to && from !== to ? { from, to } : undefined;
}

function differentCluster({ from: knownUid, to: otherUid }: { from: string; to: string }): DomainError {
  const message = 'the credential is for a different cluster: check it, or set allowDifferentCluster to accept it';
  return new DomainError('DIFFERENT_CLUSTER', message, { knownUid, otherUid });
}
