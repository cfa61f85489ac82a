import { type Ask, askWell } from './client.ts';
import { COUNTED } from './load.ts';
import { API_KEY } from './product.ts';

/** Every stored field of a page of clusters. */
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

export const restList: Ask = { method: 'GET', path: CLUSTERS, headers: HEADERS };

export function rest(method: string, path: string, body?: object): Ask {
  if (!body) return { method, path, headers: HEADERS };
  return { method, path, headers: { ...HEADERS, ...JSON_TYPE }, body: JSON.stringify(body) };
}

export function graphql(query: string, variables: object): Ask {
  return {
    method: 'POST',
    path: '/graphql',
    headers: { ...HEADERS, ...JSON_TYPE },
    body: JSON.stringify({ query, variables }),
  };
}

/** The data that a document gives. */
export async function query<Data>(url: string, document: string, variables: object = {}): Promise<Data> {
  const { body } = await askWell(url, graphql(document, variables));
  return (JSON.parse(body.toString()) as { data: Data }).data;
}

export const page = (first: number, after: string | null = null): Ask => graphql(PAGE, { first, after });

/** The same page, in a request that was never sent before: it is computed anew, over a document that is known. */
export const freshPage = (first: number): Ask => graphql(PAGE, { first, after: null, unused: COUNTED });

export const oneCluster = (name: string): Ask => graphql(ONE, { name });
