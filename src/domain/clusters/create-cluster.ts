import type { Caller } from '../access/caller.ts';
import { requireActionOnAll } from '../access/permissions.ts';
import { type Changes, record } from '../audit/record.ts';
import { initialStatus } from '../cluster-status.ts';
import { columnsOf, problemOf } from '../credentials/credential.ts';
import { parseNewCredential, validateVerification } from '../credentials/credential-input.ts';
import type { InputIssue } from '../errors.ts';
import { changeRegistry, takeDefault } from '../registry-change.ts';
import { searchText } from '../text.ts';
import { throwIfInvalid, validate } from '../validation.ts';
import { type ClusterContext, resultOf, testCredential } from './changed-cluster.ts';
import { storedLabel } from './cluster.ts';
import type { ChangeQueries, CreateCluster } from './cluster-input.ts';
import { findDuplicates } from './warnings.ts';

/** Registers a cluster: see `Clusters.create`. */
export async function createCluster(
  context: ClusterContext,
  caller: Caller,
  input: CreateCluster,
  queries: ChangeQueries,
) {
  requireActionOnAll(caller, 'clusters.create');
  if (input.credential?.inCluster) requireActionOnAll(caller, 'clusters.in-cluster');
  const { registry, credentials } = context;
  const { policy } = registry;
  const issues: InputIssue[] = [];
  const fields = validate(context.fields.create, input, issues);
  const verify = validateVerification(input.verify, issues);
  const credential = await parseNewCredential(caller, input.credential, { verify, policy, issues });
  throwIfInvalid(issues);
  if (!fields) throw new Error('fields without issues are valid');
  const { name, description = '', prometheusURL = '', enabled = true, isDefault = false, labels = [] } = fields;
  const problem = problemOf(credential);
  const test = verify === 'CONNECT' ? await testCredential(context, credential) : undefined;
  // The connection test may take seconds, in which the caller's permissions may have changed.
  const now = verify === 'CONNECT' ? await caller.refresh() : caller;
  const creator = requireActionOnAll(now, 'clusters.create');

  return changeRegistry(registry, creator, async (tx, stamp) => {
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
    await credentials.add(tx, [{ id, uid, credential }]);
    await record(tx, now, {
      action: 'cluster.create',
      at,
      cluster: { uid, id, name },
      changes: {
        name: { to: name },
        ...nonDefaultValues({ description, prometheusURL, isDefault, inCluster: credential.kind === 'IN_CLUSTER' }),
        ...(enabled ? {} : { enabled: { to: enabled } }),
        ...(labels.length > 0 ? { labels: { to: labels } } : {}),
        ...(credential.kubeconfig === undefined ? {} : { credential: 'changed' }),
      },
    });
    const registering = { name, apiServer: credential.apiServer ?? null, identity: test?.identity };
    const duplicates = await findDuplicates(tx, now, [registering]);
    const result = await resultOf(tx, now, { id, problem, previousDefaultId: holder?.id }, queries);
    return { ...result, warnings: [...result.warnings, ...duplicates] };
  });
}

/** The audit changes of a new cluster for fields that do not have their default: an empty text or false. */
function nonDefaultValues(values: Readonly<Record<string, string | boolean>>): Changes {
  return Object.fromEntries(Object.entries(values).flatMap(([field, to]) => (to ? [[field, { to }]] : [])));
}
