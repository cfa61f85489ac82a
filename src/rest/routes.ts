import { API_KEY_ROWS } from './api-key-routes.ts';
import { createBody, importBody, updateBody } from './body.ts';
import {
  type ClusterCredentialInput,
  CreateClusterDocument,
  DeleteClusterDocument,
  ImportClustersDocument,
  ListClustersDocument,
  ListVisibleClustersDocument,
  UpdateClusterDocument,
} from './operations.generated.ts';
import { createResult, deleteResult, importResult, listResult, updateResult, visibleResult } from './results.ts';
import { row } from './row.ts';

const CLUSTERS = '/api/v1/admin/clusters/';

const NAME_REQUIRED = [
  400,
  'name is required',
  'A field is missing, has the wrong type or exceeds a limit. The error names the field.',
] as const;
const NAME_TAKEN = [409, 'cluster already exists', 'Another cluster has this name.'] as const;
const INVALID_ID = [400, 'invalid cluster id', 'The id is not a positive integer below 2^31.'] as const;
const NOT_FOUND = [404, 'cluster not found', 'No cluster has this id.'] as const;

/** The cluster routes that Kite documents. */
const CLUSTER_ROWS = [
  row({
    method: 'get',
    path: CLUSTERS,
    operationId: 'listClusters',
    summary: 'List every cluster, ordered by id',
    description:
      'Returns the whole registry. Clients can cache the response: send its `ETag` as `If-None-Match`, and the response is 304 if nothing has changed. A list above 16 MiB is streamed and has no `ETag`.',
    access: 'admin',
    objectKind: 'cluster',
    document: ListClustersDocument,
    variables: ({ after }) => ({ after }),
    status: 200,
    result: listResult,
    next: nextPage,
    toBody: ({ nodes }, { defaultCluster }) =>
      nodes.map(({ databaseId, prometheusURL, status: { version, error }, ...cluster }) => ({
        id: databaseId,
        ...cluster,
        isDefault: databaseId === defaultCluster?.databaseId,
        prometheusURL: prometheusURL ?? '',
        config: '',
        ...(version ? { version } : {}),
        ...(error ? { error: error.message } : {}),
      })),
    errors: [],
  }),
  row({
    method: 'post',
    path: CLUSTERS,
    operationId: 'createCluster',
    summary: 'Register a cluster',
    description: 'An unusable kubeconfig is stored too. Within a second the list shows the reason as `error`.',
    access: 'admin',
    objectKind: 'cluster',
    body: createBody,
    action: 'cluster.create',
    document: CreateClusterDocument,
    variables: ({ body: { config, inCluster, ...fields } }) => ({
      input: { ...fields, ...credential(config, inCluster), verify: 'NONE' as const },
    }),
    status: 201,
    result: createResult,
    toBody: ({ cluster }) => ({ id: cluster.databaseId, message: 'cluster created successfully' }),
    errors: [NAME_REQUIRED, NAME_TAKEN],
  }),
  row({
    method: 'put',
    path: `${CLUSTERS}:id`,
    operationId: 'updateCluster',
    summary: 'Update a cluster: omitted fields keep their values',
    description:
      'An empty `name` or `config` keeps its current value too. `description` and `prometheusURL` may be set to the empty string.',
    access: 'admin',
    objectKind: 'cluster',
    body: updateBody,
    action: 'cluster.update',
    document: UpdateClusterDocument,
    variables: ({ id, body: { config, inCluster, name, ...fields } }) => ({
      input: {
        by: { databaseId: id },
        ...fields,
        ...(name ? { name } : {}),
        ...credential(config, inCluster),
        verify: 'NONE' as const,
      },
    }),
    status: 200,
    result: updateResult,
    toBody: () => ({ message: 'cluster updated successfully' }),
    errors: [
      INVALID_ID,
      [
        400,
        'isDefault must be true or false',
        'A field has the wrong type or exceeds a limit. The error names the field.',
      ],
      NOT_FOUND,
      NAME_TAKEN,
    ],
  }),
  row({
    method: 'delete',
    path: `${CLUSTERS}:id`,
    operationId: 'deleteCluster',
    summary: 'Delete a cluster, unless it is the default',
    description: 'The id of a deleted cluster is never reused.',
    access: 'admin',
    objectKind: 'cluster',
    action: 'cluster.delete',
    document: DeleteClusterDocument,
    variables: ({ id }) => ({ input: { by: { databaseId: id } } }),
    status: 200,
    result: deleteResult,
    toBody: () => ({ message: 'cluster deleted successfully' }),
    errors: [
      INVALID_ID,
      [
        400,
        'cannot delete default cluster',
        'The cluster is the default. First make another cluster the default, or set `isDefault` of this one to false.',
      ],
      NOT_FOUND,
    ],
  }),
  row({
    method: 'post',
    path: `${CLUSTERS}import`,
    operationId: 'importClusters',
    summary: 'Import every context of a kubeconfig into an empty registry',
    description:
      'Creates one cluster per context, named after the context. The current context, or the first one if none is current, becomes the default. If one cluster cannot be created, none is.',
    access: 'admin',
    objectKind: 'cluster',
    body: importBody,
    action: 'cluster.import',
    document: ImportClustersDocument,
    variables: ({ body: { config, inCluster = false } }) => ({
      input: { ...(config ? { kubeconfig: config } : {}), inCluster, onlyIfEmpty: true, verify: 'NONE' as const },
    }),
    status: 201,
    result: importResult,
    toBody: ({ createdCount }) => ({ message: `imported ${createdCount} clusters successfully` }),
    errors: [
      [
        400,
        'config is required when inCluster is false',
        'The kubeconfig is missing, cannot be read or has no contexts.',
      ],
      [403, 'import not allowed when clusters exist', 'The registry is not empty.'],
    ],
  }),
  row({
    method: 'get',
    path: '/api/v1/clusters',
    operationId: 'listVisibleClusters',
    summary: 'List the clusters that the caller may see, ordered by name',
    access: 'signed in',
    objectKind: 'cluster',
    document: ListVisibleClustersDocument,
    variables: ({ after }) => ({ after }),
    status: 200,
    result: visibleResult,
    next: nextPage,
    toBody: ({ nodes }, { defaultCluster }) =>
      nodes.map(({ databaseId, name, status: { version, error } }) => ({
        ...{ name, version: version ?? '', isDefault: databaseId === defaultCluster?.databaseId },
        ...(error ? { error: error.message } : {}),
      })),
    errors: [],
  }),
];

/** Every route that executes a GraphQL document. */
export const ROWS = [...CLUSTER_ROWS, ...API_KEY_ROWS];

function nextPage({ pageInfo }: { pageInfo: { hasNextPage: boolean; endCursor?: string | null } }): string | null {
  return pageInfo.hasNextPage ? (pageInfo.endCursor ?? null) : null;
}

/**
 * Maps Kite's `config` and `inCluster` to GraphQL's `credential`. An empty `config` counts as absent; `inCluster: true`
 * takes precedence.
 */
function credential(
  config: string | undefined,
  inCluster: boolean | undefined,
): { credential?: ClusterCredentialInput } {
  if (inCluster === true) return { credential: { inCluster } };
  if (config) return { credential: { kubeconfig: { text: config } } };
  return inCluster === undefined ? {} : { credential: { inCluster } };
}
