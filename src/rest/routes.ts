import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import type { z } from 'zod';
import type { Action } from '../domain/access/permissions.ts';
import { createBody, importBody, updateBody } from './body.ts';
import {
  type ClusterCredentialInput,
  CreateClusterDocument,
  DeleteClusterDocument,
  ImportClustersDocument,
  ListClustersDocument,
  UpdateClusterDocument,
} from './operations.generated.ts';
import { createResult, deleteResult, importResult, listResult, updateResult } from './results.ts';

type Success<Result> = Exclude<Result, { code: unknown }>;

/** A REST row: which document answers it, how the request becomes variables, and what the result becomes. */
export interface Row<
  Data = never,
  Variables = never,
  Body extends z.ZodObject = z.ZodObject,
  Result extends z.ZodType = z.ZodType,
> {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  readonly path: string;
  /** Its name in the OpenAPI document, and what it does. */
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  /** What the caller must be allowed to do, before anything else is looked at. */
  readonly action: Action;
  readonly body?: Body;
  readonly document: TypedDocumentNode<Data, Variables>;
  readonly variables: (request: { id: number; body: z.output<Body> }) => Variables;
  readonly status: 200 | 201;
  readonly result: Result;
  /** The success of the document's only root field; a refusal of its union never comes here. */
  readonly answer: (result: Success<Data[keyof Data]>) => z.output<Result>;
  /** How it can be refused besides what any row can answer: the status, the sentence, and when it comes. */
  readonly refusals: readonly (readonly [status: 400 | 403 | 404 | 409, error: string, when: string])[];
}

const row = <Data, Variables, Body extends z.ZodObject, Result extends z.ZodType>(
  value: Row<Data, Variables, Body, Result>,
) => value;

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
export const ROWS = [
  row({
    method: 'get',
    path: CLUSTERS,
    operationId: 'listClusters',
    summary: 'List every cluster, ordered by id',
    description:
      'The whole registry. It may be kept: send its `ETag` as `If-None-Match`, and what has not changed is 304.',
    action: 'clusters.read',
    document: ListClustersDocument,
    variables: () => ({}),
    status: 200,
    result: listResult,
    answer: ({ nodes }) =>
      nodes.map(({ databaseId, prometheusURL, status: { version, error }, ...cluster }) => ({
        id: databaseId,
        ...cluster,
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
    action: 'clusters.create',
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
    action: 'clusters.update',
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
    action: 'clusters.delete',
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
    action: 'clusters.import',
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
];

/** Kite's two fields as GraphQL's one; an empty `config` counts as absent, and `inCluster: true` outranks it. */
function credential(
  config: string | undefined,
  inCluster: boolean | undefined,
): { credential?: ClusterCredentialInput } {
  if (inCluster === true) return { credential: { inCluster } };
  if (config) return { credential: { kubeconfig: { text: config } } };
  return inCluster === undefined ? {} : { credential: { inCluster } };
}
