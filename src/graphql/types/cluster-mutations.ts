import { IMPORT_OUTCOMES, type ImportedContext as ImportedContextRow } from '../../domain/clusters/import-decisions.ts';
import type { Warning as DomainWarning } from '../../domain/clusters/warnings.ts';
import { builder } from '../builder.ts';
import { chargeOrThrow } from '../cost.ts';
import { asErrorResult, resultType } from '../errors.ts';
import { encodeGlobalId } from '../global-id.ts';
import { Cluster } from './cluster.ts';
import { CreateClusterInput, DeleteClusterInput, ImportClustersInput, UpdateClusterInput } from './cluster-inputs.ts';
import { clusterBy, clusterQuery } from './cluster-queries.ts';
import { describedEnum } from './enums.ts';
import {
  ConnectionFailedError,
  DefaultClusterError,
  DifferentClusterError,
  ForbiddenError,
  InvalidInputError,
  NameTakenError,
  NotFoundError,
  RegistryNotEmptyError,
  RevisionConflictError,
} from './errors.ts';

type ClusterRow = typeof Cluster.$inferType;

const WARNINGS = { CREDENTIAL_UNUSABLE: 'CredentialWarning', DUPLICATE_CLUSTER: 'DuplicateClusterWarning' } as const;

const Warning = builder.interfaceRef<DomainWarning>('Warning').implement({
  description: 'Something the caller should know of a change that was made. More kinds may be added.',
  resolveType: ({ kind }) => WARNINGS[kind],
  fields: (t) => ({ message: t.exposeString('message', { description: 'One sentence for a person.' }) }),
});

builder.objectRef<DomainWarning>('CredentialWarning').implement({
  description: 'The credential was stored although it cannot be used.',
  interfaces: [Warning],
});

builder.objectRef<DomainWarning>('DuplicateClusterWarning').implement({
  description:
    'A cluster that is registered already has the same API server, or is the same cluster; one that the viewer may not read is not named.',
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
      cluster: t.expose('cluster', { type: Cluster, description: 'The cluster as it is now.' }),
      previousDefault: t.expose('previousDefault', {
        type: Cluster,
        nullable: true,
        description:
          'The cluster that had the default before, when this change took it; null where the viewer may not read it.',
      }),
      warnings: t.expose('warnings', { type: [Warning], description: 'What one should know of this change.' }),
    }),
  });

const CreateClusterSuccess = changeSuccess('CreateClusterSuccess', 'The cluster was registered.');
const UpdateClusterSuccess = changeSuccess('UpdateClusterSuccess', 'The cluster was changed, or was so already.');

const DeleteClusterSuccess = builder.objectRef<{ uid: string; databaseId: number }>('DeleteClusterSuccess').implement({
  description: 'The cluster was deleted.',
  fields: (t) => ({
    deletedId: t.id({ description: 'Its global id.', resolve: ({ uid }) => encodeGlobalId('Cluster', uid) }),
    deletedDatabaseId: t.exposeInt('databaseId', { description: 'The id that the REST routes used for it.' }),
  }),
});

const ImportOutcome = builder.enumType('ImportOutcome', {
  description: 'What became of a context.',
  values: describedEnum(IMPORT_OUTCOMES, {
    CREATED: 'It is a cluster now.',
    UPDATED: 'The cluster of its name has its credential now.',
    SKIPPED: 'A cluster of its name exists, and was left as it is.',
    REFUSED: 'It cannot be used; `problem` says why.',
  }),
});

const ImportedContext = builder
  .objectRef<ImportedContextRow & { cluster: ClusterRow | null }>('ImportedContext')
  .implement({
    description: 'What became of one context of the kubeconfig; in a dry run, what would.',
    fields: (t) => ({
      context: t.exposeString('context', { description: 'The name of the context.' }),
      outcome: t.expose('outcome', { type: ImportOutcome, description: 'What became of it.' }),
      problem: t.exposeString('problem', { nullable: true, description: 'Why it was skipped or refused.' }),
      cluster: t.expose('cluster', {
        type: Cluster,
        nullable: true,
        description:
          'The cluster of its name; null when refused, when the viewer may not read it and did not create it here, and in a dry run.',
      }),
    }),
  });

const ImportClustersSuccess = builder
  .objectRef<{ contexts: (ImportedContextRow & { cluster: ClusterRow | null })[]; warnings: DomainWarning[] }>(
    'ImportClustersSuccess',
  )
  .implement({
    description: 'An answer for every context.',
    fields: (t) => ({
      contexts: t.expose('contexts', {
        type: [ImportedContext],
        description: 'What became of each context, in the order of the file.',
      }),
      createdCount: t.int({
        description: 'How many clusters were created; in a dry run, would be.',
        resolve: ({ contexts }) => contexts.filter(({ outcome }) => outcome === 'CREATED').length,
      }),
      warnings: t.expose('warnings', { type: [Warning], description: 'What one should know of this import.' }),
    }),
  });

const commonErrors = [InvalidInputError, ForbiddenError] as const;

const CreateClusterResult = builder.unionType('CreateClusterResult', {
  description: 'The answer of `createCluster`.',
  types: [CreateClusterSuccess, NameTakenError, ConnectionFailedError, ...commonErrors],
  resolveType: resultType('CreateClusterSuccess'),
});

const UpdateClusterResult = builder.unionType('UpdateClusterResult', {
  description: 'The answer of `updateCluster`.',
  types: [
    UpdateClusterSuccess,
    NotFoundError,
    NameTakenError,
    RevisionConflictError,
    ConnectionFailedError,
    DifferentClusterError,
    ...commonErrors,
  ],
  resolveType: resultType('UpdateClusterSuccess'),
});

const DeleteClusterResult = builder.unionType('DeleteClusterResult', {
  description: 'The answer of `deleteCluster`.',
  types: [DeleteClusterSuccess, NotFoundError, DefaultClusterError, RevisionConflictError, ...commonErrors],
  resolveType: resultType('DeleteClusterSuccess'),
});

const ImportClustersResult = builder.unionType('ImportClustersResult', {
  description: 'The answer of `importClusters`.',
  types: [ImportClustersSuccess, NameTakenError, RegistryNotEmptyError, ...commonErrors],
  resolveType: resultType('ImportClustersSuccess'),
});

const input = { required: true, description: 'What to do.' } as const;
/** Cost of each context of an import: reading, sealing and storing one takes almost 1 ms. */
const CONTEXT_COST = 200;
const CONFLICT = [{ name: 'current', type: 'RevisionConflictError' }];

builder.mutationFields((t) => ({
  createCluster: t.field({
    type: CreateClusterResult,
    description: 'Registers a cluster.',
    args: { input: t.arg({ type: CreateClusterInput, ...input }) },
    resolve: (_root, { input }, context, info) =>
      asErrorResult(() =>
        context.clusters.create(context.caller, input, {
          cluster: clusterQuery(context, info, ['cluster']),
          previousDefault: clusterQuery(context, info, ['previousDefault']),
        }),
      ),
  }),
  updateCluster: t.field({
    type: UpdateClusterResult,
    description: 'Changes a cluster: absent keeps, null clears.',
    args: { input: t.arg({ type: UpdateClusterInput, ...input }) },
    resolve: (_root, { input: { by, ...changes } }, context, info) =>
      asErrorResult(() =>
        context.clusters.update(
          context.caller,
          { by: clusterBy(by), ...changes },
          {
            cluster: clusterQuery(context, info, ['cluster'], CONFLICT),
            previousDefault: clusterQuery(context, info, ['previousDefault']),
          },
        ),
      ),
  }),
  deleteCluster: t.field({
    type: DeleteClusterResult,
    description: 'Forgets a cluster and its credential. The default cluster is refused.',
    args: { input: t.arg({ type: DeleteClusterInput, ...input }) },
    resolve: (_root, { input: { by, expectedRevision } }, context, info) =>
      asErrorResult(() =>
        context.clusters.delete(
          context.caller,
          { by: clusterBy(by), expectedRevision },
          clusterQuery(context, info, CONFLICT),
        ),
      ),
  }),
  importClusters: t.field({
    type: ImportClustersResult,
    description:
      'Makes a cluster of every context of a kubeconfig, in one transaction. Into an empty registry the current context becomes the default.',
    args: { input: t.arg({ type: ImportClustersInput, ...input }) },
    resolve: (_root, { input }, context, info) =>
      asErrorResult(() =>
        context.clusterImport.run(
          context.caller,
          input,
          clusterQuery(context, info, ['contexts', 'cluster']),
          (contexts) => chargeOrThrow(context.charge, contexts * CONTEXT_COST),
        ),
      ),
  }),
}));
