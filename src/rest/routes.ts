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

type Success<Result> = Exclude<Result, { code: unknown }>;

/** A REST row: which document answers it, how the request becomes variables, and what the result becomes. */
export interface Row<Data = never, Variables = never, Body extends z.ZodObject = z.ZodObject> {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  readonly path: string;
  readonly summary: string;
  /** What the caller must be allowed to do, before anything else is looked at. */
  readonly action: Action;
  readonly body?: Body;
  readonly document: TypedDocumentNode<Data, Variables>;
  readonly variables: (request: { id: number; body: z.output<Body> }) => Variables;
  readonly status: 200 | 201;
  /** The success of the document's only root field; a refusal of its union never comes here. */
  readonly answer: (result: Success<Data[keyof Data]>) => unknown;
}

const row = <Data, Variables, Body extends z.ZodObject>(value: Row<Data, Variables, Body>) => value;

const CLUSTERS = '/api/v1/admin/clusters/';

/** The cluster routes that Kite documents. */
export const ROWS = [
  row({
    method: 'get',
    path: CLUSTERS,
    summary: 'List every cluster, ordered by id',
    action: 'clusters.read',
    document: ListClustersDocument,
    variables: () => ({}),
    status: 200,
    answer: ({ nodes }) =>
      nodes.map(({ databaseId, prometheusURL, status: { version, error }, ...cluster }) => ({
        id: databaseId,
        ...cluster,
        prometheusURL: prometheusURL ?? '',
        config: '',
        ...(version ? { version } : {}),
        ...(error ? { error: error.message } : {}),
      })),
  }),
  row({
    method: 'post',
    path: CLUSTERS,
    summary: 'Register a cluster',
    action: 'clusters.create',
    body: createBody,
    document: CreateClusterDocument,
    variables: ({ body: { config, inCluster, ...fields } }) => ({
      input: { ...fields, ...credential(config, inCluster), verify: 'NONE' as const },
    }),
    status: 201,
    answer: ({ cluster }) => ({ id: cluster.databaseId, message: 'cluster created successfully' }),
  }),
  row({
    method: 'put',
    path: `${CLUSTERS}:id`,
    summary: 'Change a cluster: what is left out keeps its value',
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
    answer: () => ({ message: 'cluster updated successfully' }),
  }),
  row({
    method: 'delete',
    path: `${CLUSTERS}:id`,
    summary: 'Delete a cluster, unless it is the default',
    action: 'clusters.delete',
    document: DeleteClusterDocument,
    variables: ({ id }) => ({ input: { by: { databaseId: id } } }),
    status: 200,
    answer: () => ({ message: 'cluster deleted successfully' }),
  }),
  row({
    method: 'post',
    path: `${CLUSTERS}import`,
    summary: 'Import every context of a kubeconfig into an empty registry',
    action: 'clusters.import',
    body: importBody,
    document: ImportClustersDocument,
    variables: ({ body: { config, inCluster = false } }) => ({
      input: { ...(config ? { kubeconfig: config } : {}), inCluster, onlyIfEmpty: true, verify: 'NONE' as const },
    }),
    status: 201,
    answer: ({ createdCount }) => ({ message: `imported ${createdCount} clusters successfully` }),
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
