// A typed query of a frontend: `node examples/typed-client/list.ts http://localhost:8080 <API key>`.
// Variables and answer have the types that codegen made of operations.graphql; a wrong field does not compile.
import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { print } from 'graphql';
import { FleetPageDocument } from './operations.generated.ts';

const [url = 'http://localhost:8080', key = ''] = process.argv.slice(2);

async function request<Data, Variables>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
): Promise<Data> {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: key },
    body: JSON.stringify({ query: print(document), variables }),
  });
  const { data, errors } = await response.json();
  if (errors) throw new Error(errors[0].message);
  return data;
}

let after: string | null | undefined;
do {
  const { clusters } = await request(FleetPageDocument, { first: 50, after, filter: { enabled: true } });
  for (const { name, isDefault, status } of clusters.nodes)
    console.log(`${isDefault ? '*' : ' '} ${name}  ${status.state}  ${status.version ?? status.error?.message ?? ''}`);
  after = clusters.pageInfo.hasNextPage ? clusters.pageInfo.endCursor : undefined;
} while (after);
