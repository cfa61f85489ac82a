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
  'A field is missing, of the wrong type or outside its limits; the sentence names it.',
] as const;
const NAME_TAKEN = [409, 'cluster already exists', 'Another cluster has the name.'] as const;
const INVALID_ID = [400, 'invalid cluster id', 'The id is no positive integer below 2^31.'] as const;
const NOT_FOUND = [404, 'cluster not found', 'No cluster has the id.'] as const;

/** The cluster routes that Kite documents. */
const CLUSTER_ROWS = [
  row({
    method: 'get',
    path: CLUSTERS,
    operationId: 'listClusters',
    summary: 'List every cluster, ordered by id',
    description:
      'The whole registry. It may be kept: send its `ETag` as `If-None-Match`, and what has not changed is 304. A list above 16 MiB has no `ETag`: it is sent while it is read.',
    who: 'admin',
    of: 'cluster',
    document: ListClustersDocument,
    variables: ({ after }) => ({ after }),
    status: 200,
    result: listResult,
    next: nextPage,
    answer: ({ nodes }, { defaultCluster }) =>
      nodes.map(({ databaseId, prometheusURL, status: { version, error }, ...cluster }) => ({
        id: databaseId,
        ...cluster,
        isDefault: databaseId === defaultCluster?.databaseId,
        prometheusURL: prometheusURL ?? '',
        config: '',
        ...(version ? { version } : {}),
        ...(error ? { error: error.message } : {}),
      })),
    refusals: [],
  }),
  row({
    method: 'post',
    path: CLUSTERS,
    operationId: 'createCluster',
    summary: 'Register a cluster',
    description:
      'A kubeconfig that cannot be used is stored all the same: the list says why as `error` within a second.',
    who: 'admin',
    of: 'cluster',
    body: createBody,
    document: CreateClusterDocument,
    variables: ({ body: { config, inCluster, ...fields } }) => ({
      input: { ...fields, ...credential(config, inCluster), verify: 'NONE' as const },
    }),
    status: 201,
    result: createResult,
    answer: ({ cluster }) => ({ id: cluster.databaseId, message: 'cluster created successfully' }),
    refusals: [NAME_REQUIRED, NAME_TAKEN],
  }),
  row({
    method: 'put',
    path: `${CLUSTERS}:id`,
    operationId: 'updateCluster',
    summary: 'Change a cluster: what is left out keeps its value',
    description:
      'An empty `name` or `config` keeps its value too. `description` and `prometheusURL` may be set to the empty string.',
    who: 'admin',
    of: 'cluster',
    body: updateBody,
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
    answer: () => ({ message: 'cluster updated successfully' }),
    refusals: [
      INVALID_ID,
      [
        400,
        'isDefault must be true or false',
        'A field is of the wrong type or outside its limits; the sentence names it.',
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
    description: 'Its id is never used again.',
    who: 'admin',
    of: 'cluster',
    document: DeleteClusterDocument,
    variables: ({ id }) => ({ input: { by: { databaseId: id } } }),
    status: 200,
    result: deleteResult,
    answer: () => ({ message: 'cluster deleted successfully' }),
    refusals: [
      INVALID_ID,
      [
        400,
        'cannot delete default cluster',
        'It is the default: give the default to another cluster, or to none, first.',
      ],
      NOT_FOUND,
    ],
  }),
  row({
    method: 'post',
    path: `${CLUSTERS}import`,
    operationId: 'importClusters',
    summary: 'Import every context of a kubeconfig into an empty registry',
    description: 'Each context becomes a cluster of its name; the current one becomes the default. All or nothing.',
    who: 'admin',
    of: 'cluster',
    body: importBody,
    document: ImportClustersDocument,
    variables: ({ body: { config, inCluster = false } }) => ({
      input: { ...(config ? { kubeconfig: config } : {}), inCluster, onlyIfEmpty: true, verify: 'NONE' as const },
    }),
    status: 201,
    result: importResult,
    answer: ({ createdCount }) => ({ message: `imported ${createdCount} clusters successfully` }),
    refusals: [
      [
        400,
        'config is required when inCluster is false',
        'There is no kubeconfig, or it cannot be read, or has no contexts.',
      ],
      [403, 'import not allowed when clusters exist', 'The registry is not empty.'],
    ],
  }),
  row({
    method: 'get',
    path: '/api/v1/clusters',
    operationId: 'listVisibleClusters',
    summary: 'List the clusters that the caller may see, ordered by name',
    who: 'signed in',
    of: 'cluster',
    document: ListVisibleClustersDocument,
    variables: ({ after }) => ({ after }),
    status: 200,
    result: visibleResult,
    next: nextPage,
    answer: ({ nodes }, { defaultCluster }) =>
      nodes.map(({ databaseId, name, status: { version, error } }) => ({
        ...{ name, version: version ?? '', isDefault: databaseId === defaultCluster?.databaseId },
        ...(error ? { error: error.message } : {}),
      })),
    refusals: [],
  }),
];

/** Every route that a document answers. */
export const ROWS = [...CLUSTER_ROWS, ...API_KEY_ROWS];

function nextPage({ pageInfo }: { pageInfo: { hasNextPage: boolean; endCursor?: string | null } }): string | null {
  return pageInfo.hasNextPage ? (pageInfo.endCursor ?? null) : null;
}

/** Kite's two fields as GraphQL's one; an empty `config` counts as absent, and `inCluster: true` outranks it. */
function credential(
  config: string | undefined,
  inCluster: boolean | undefined,
): { credential?: ClusterCredentialInput } {
  if (inCluster === true) return { credential: { inCluster } };
  if (config) return { credential: { kubeconfig: { text: config } } };
  return inCluster === undefined ? {} : { credential: { inCluster } };
}
