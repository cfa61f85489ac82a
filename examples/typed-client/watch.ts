// Live updates of a frontend: `node examples/typed-client/watch.ts http://localhost:8080 <API key>`.
// It lists once, then follows the changes from there; after a broken connection it goes on where it stood.
import { print } from 'graphql';
import { createClient } from 'graphql-sse';
import { FleetChangesDocument, type FleetChangesSubscription } from './operations.generated.ts';

const [url = 'http://localhost:8080', key = ''] = process.argv.slice(2);

const client = createClient({ url: `${url}/graphql`, headers: { Authorization: key } });

for await (const { data, errors } of client.iterate<FleetChangesSubscription>({ query: print(FleetChangesDocument) })) {
  if (errors) throw errors[0];
  const change = data?.clusterChanged;
  if (change?.__typename === 'ClusterUpserted')
    console.log(`${change.cluster.name}  ${change.cluster.status.state}  ${change.cluster.status.version ?? ''}`);
  else console.log(change?.__typename);
}
