import { callOrThrow, type HttpRequest } from './client.ts';
import { COUNTED } from './load.ts';
import { API_KEY } from './product.ts';

/** A page of clusters with every stored field. */
export const PAGE = `query Page($first: Int!, $after: String) {
  clusters(first: $first, after: $after) {
    totalCount
    changesCursor
    stateCounts { state count }
    pageInfo { hasNextPage endCursor }
    nodes {
      id databaseId name description
      labels { key value }
      enabled isDefault inCluster prometheusURL apiServer
      credential { kind expiresAt problem }
      revision createdAt updatedAt
      status { state since version error { code message } }
    }
  }
}`;

const ONE = `query One($name: String!) {
  cluster(by: { name: $name }) {
    id databaseId name description
    labels { key value }
    enabled isDefault inCluster prometheusURL apiServer
    credential { kind expiresAt problem }
    revision createdAt updatedAt
    status { state since version error { code message } }
  }
}`;

export const CLUSTERS = '/api/v1/admin/clusters/';
const JSON_TYPE = { 'Content-Type': 'application/json' };
const HEADERS = { Authorization: API_KEY };

export const restList: HttpRequest = { method: 'GET', path: CLUSTERS, headers: HEADERS };

export function rest(method: string, path: string, body?: object): HttpRequest {
  if (!body) return { method, path, headers: HEADERS };
  return { method, path, headers: { ...HEADERS, ...JSON_TYPE }, body: JSON.stringify(body) };
}

export function graphql(query: string, variables: object): HttpRequest {
  return {
    method: 'POST',
    path: '/graphql',
    headers: { ...HEADERS, ...JSON_TYPE },
    body: JSON.stringify({ query, variables }),
  };
}

/** Sends a GraphQL document and returns its data. Throws if the response contains errors. */
export async function query<Data>(url: string, document: string, variables: object = {}): Promise<Data> {
  const { body } = await callOrThrow(url, graphql(document, variables));
  return (JSON.parse(body.toString()) as { data: Data }).data;
}

export const page = (first: number, after: string | null = null): HttpRequest => graphql(PAGE, { first, after });

/** The same page with an unused variable that differs in each request, so that the response is not in the cache. */
export const freshPage = (first: number): HttpRequest => graphql(PAGE, { first, after: null, unused: COUNTED });

export const oneCluster = (name: string): HttpRequest => graphql(ONE, { name });
