// A typed query, as a frontend would send it. Run it with Node 24:
//   node_modules/.bin/node examples/typed-client/list.ts http://localhost:8080 <API key>
// An unknown field in operations.graphql fails in codegen; a wrong use of the response does not compile.
import { FleetPageDocument } from './operations.generated.ts';
import { request } from './request.ts';

const [url = 'http://localhost:8080', key = ''] = process.argv.slice(2);

let after: string | null | undefined;
do {
  const { clusters } = await request({ url, key }, FleetPageDocument, { first: 50, after, filter: { enabled: true } });
  for (const { name, isDefault, status } of clusters.nodes)
    console.log(`${isDefault ? '*' : ' '} ${name}  ${status.state}  ${status.version ?? status.error?.message ?? ''}`);
  after = clusters.pageInfo.hasNextPage ? clusters.pageInfo.endCursor : undefined;
} while (after);
