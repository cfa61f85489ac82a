import { IMPORT_OUTCOMES, type ImportedContext as ImportedContextRow } from '../../domain/clusters/import-decisions.ts';
import type { Warning as DomainWarning } from '../../domain/clusters/warnings.ts';
import { builder } from '../builder.ts';
import { chargeOrThrow } from '../charge.ts';
import { encodeGlobalId } from '../global-id.ts';
import { Cluster } from './cluster.ts';
import { CreateClusterInput, DeleteClusterInput, ImportClustersInput, UpdateClusterInput } from './cluster-inputs.ts';
import { clusterBy, clusterQuery } from './cluster-queries.ts';
import { describedEnum } from './enums.ts';
import {
  ConnectionFailedError,
  DefaultClusterError,
  DifferentClusterError,
  NameTakenError,
  NotFoundError,
  RegistryNotEmptyError,
  RevisionConflictError,
} from './errors.ts';
import { addMutation } from './mutation.ts';

type ClusterRow = typeof Cluster.$inferType;

const WARNINGS = { CREDENTIAL_UNUSABLE: 'CredentialWarning', DUPLICATE_CLUSTER: 'DuplicateClusterWarning' } as const;

const Warning = builder.interfaceRef<DomainWarning>('Warning').implement({
  description: 'A warning about a change that was made. More types may be added.',
  resolveType: ({ kind }) => WARNINGS[kind],
  fields: (t) => ({ message: t.exposeString('message', { description: 'The warning, as one sentence for humans.' }) }),
});

builder.objectRef<DomainWarning>('CredentialWarning').implement({
  description: 'The credential was stored although it cannot be used.',
  interfaces: [Warning],
});

builder.objectRef<DomainWarning>('DuplicateClusterWarning').implement({
  description:
    'A cluster in the registry already has the same API server or the same identity. The message names it only if the viewer may read it.',
  interfaces: [Warning],
});

interface Change {
  cluster: ClusterRow;
  previousDefault: ClusterRow | null;
  warnings: DomainWarning[];
}

const changeSuccess = (name: string, description: string) =>
  builder.objectRef<Change>(name).implement({
    description,
    fields: (t) => ({
      cluster: t.expose('cluster', { type: Cluster, description: 'The cluster after the change.' }),
      previousDefault: t.expose('previousDefault', {
        type: Cluster,
        nullable: true,
        description:
          'The previous default cluster, if this change replaced it; null if it did not, or if the viewer may not read that cluster.',
      }),
      warnings: t.expose('warnings', {
        type: [Warning],
        description: 'Warnings about this change; empty if there are none.',
      }),
    }),
  });

const CreateClusterSuccess = changeSuccess('CreateClusterSuccess', 'The cluster was registered.');
const UpdateClusterSuccess = changeSuccess(
  'UpdateClusterSuccess',
  'The cluster was updated, or already had the requested values.',
);

const DeleteClusterSuccess = builder.objectRef<{ uid: string; databaseId: number }>('DeleteClusterSuccess').implement({
  description: 'The cluster was deleted.',
  fields: (t) => ({
    deletedId: t.id({
      description: 'The global id of the deleted cluster.',
      resolve: ({ uid }) => encodeGlobalId('Cluster', uid),
    }),
    deletedDatabaseId: t.exposeInt('databaseId', { description: 'The id of the deleted cluster in the REST API.' }),
  }),
});

const ImportOutcome = builder.enumType('ImportOutcome', {
  description: 'The result of importing one context.',
  values: describedEnum(IMPORT_OUTCOMES, {
    CREATED: 'A cluster was created from the context.',
    UPDATED: 'The existing cluster with this name now uses the context’s credential.',
    SKIPPED: 'A cluster with this name exists and was left unchanged.',
    REFUSED: 'The context was not imported; `problem` states the reason.',
  }),
});

const ImportedContext = builder
  .objectRef<ImportedContextRow & { cluster: ClusterRow | null }>('ImportedContext')
  .implement({
    description: 'The result of importing one context of the kubeconfig, or the expected result in a dry run.',
    fields: (t) => ({
      context: t.exposeString('context', { description: 'The name of the context.' }),
      outcome: t.expose('outcome', { type: ImportOutcome, description: 'The outcome for this context.' }),
      problem: t.exposeString('problem', {
        nullable: true,
        description: 'The reason why the context was skipped or refused; null otherwise.',
      }),
      cluster: t.expose('cluster', {
        type: Cluster,
        nullable: true,
        description:
          'The cluster with the context’s name. Null if the context was refused, in a dry run, or if the viewer may not read a cluster that this import did not create.',
      }),
    }),
  });

const ImportClustersSuccess = builder
  .objectRef<{ contexts: (ImportedContextRow & { cluster: ClusterRow | null })[]; warnings: DomainWarning[] }>(
    'ImportClustersSuccess',
  )
  .implement({
    description: 'The import succeeded, with a result for every context.',
    fields: (t) => ({
      contexts: t.expose('contexts', {
        type: [ImportedContext],
        description: 'The result for each context, in the order of the kubeconfig.',
      }),
      createdCount: t.int({
        description: 'The number of clusters created, or in a dry run, that would be created.',
        resolve: ({ contexts }) => contexts.filter(({ outcome }) => outcome === 'CREATED').length,
      }),
      warnings: t.expose('warnings', {
        type: [Warning],
        description: 'Warnings about this import; empty if there are none.',
      }),
    }),
  });

/** Cost per imported context: parsing, sealing and storing one takes almost 1 ms. */
const CONTEXT_COST = 200;
const CONFLICT = [{ name: 'current', type: 'RevisionConflictError' }];

addMutation('createCluster', {
  description: 'Registers a cluster.',
  input: CreateClusterInput,
  about: 'The cluster to register.',
  success: CreateClusterSuccess,
  returns: 'the new cluster',
  errors: [NameTakenError, ConnectionFailedError],
  resolve: (input, context, info) =>
    context.clusters.create(context.caller, input, {
      cluster: clusterQuery(context, info, ['cluster']),
      previousDefault: clusterQuery(context, info, ['previousDefault']),
    }),
});

addMutation('updateCluster', {
  description: 'Updates a cluster. An absent field keeps its value; null clears it.',
  input: UpdateClusterInput,
  about: 'The cluster to update and its new values.',
  success: UpdateClusterSuccess,
  returns: 'the updated cluster',
  errors: [NotFoundError, NameTakenError, RevisionConflictError, ConnectionFailedError, DifferentClusterError],
  resolve: ({ by, ...changes }, context, info) =>
    context.clusters.update(
      context.caller,
      { by: clusterBy(by), ...changes },
      {
        cluster: clusterQuery(context, info, ['cluster'], CONFLICT),
        previousDefault: clusterQuery(context, info, ['previousDefault']),
      },
    ),
});

addMutation('deleteCluster', {
  description: 'Deletes a cluster and its credential. The default cluster cannot be deleted.',
  input: DeleteClusterInput,
  about: 'The cluster to delete.',
  success: DeleteClusterSuccess,
  returns: 'the ids of the deleted cluster',
  errors: [NotFoundError, DefaultClusterError, RevisionConflictError],
  resolve: ({ by, expectedRevision }, context, info) =>
    context.clusters.delete(
      context.caller,
      { by: clusterBy(by), expectedRevision },
      clusterQuery(context, info, CONFLICT),
    ),
});

addMutation('importClusters', {
  description:
    'Creates one cluster for each context of a kubeconfig, in one transaction. If the registry was empty, the current context becomes the default cluster.',
  input: ImportClustersInput,
  about: 'The kubeconfig to import and the import options.',
  success: ImportClustersSuccess,
  returns: 'a result for every context',
  errors: [NameTakenError, RegistryNotEmptyError],
  resolve: (input, context, info) =>
    context.clusterImport.run(context.caller, input, clusterQuery(context, info, ['contexts', 'cluster']), (contexts) =>
      chargeOrThrow(context.charge, contexts * CONTEXT_COST),
    ),
});
