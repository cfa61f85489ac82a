// Live updates, as a frontend would receive them. Run it with Node 24:
//   node_modules/.bin/node examples/typed-client/watch.ts http://localhost:8080 <API key>
// Lists the clusters once, then subscribes to changes. After a broken connection it resumes after the last change that it
// received.
import { setTimeout as sleep } from 'node:timers/promises';
import { print } from 'graphql';
import { createClient } from 'graphql-sse';
import { FleetChangesDocument, type FleetChangesSubscription, FleetPageDocument } from './operations.generated.ts';
import { request } from './request.ts';

const [url = 'http://localhost:8080', key = ''] = process.argv.slice(2);
const RETRY_MS = 1_000;
const names = new Map<string, string>();

const client = createClient({ url: `${url}/graphql`, headers: { Authorization: key }, retryAttempts: 0 });

interface ListedCluster {
  readonly id: string;
  readonly name: string;
  readonly status: { readonly state: string; readonly version: string | null };
}

function show({ id, name, status }: ListedCluster): void {
  names.set(id, name);
  console.log(`${name}  ${status.state}  ${status.version ?? ''}`);
}

async function list(): Promise<string> {
  const { clusters } = await request({ url, key }, FleetPageDocument, { first: 100 });
  clusters.nodes.forEach(show);
  return clusters.changesCursor;
}

let after = await list();
for (;;) {
  try {
    const changes = client.iterate<FleetChangesSubscription>({
      query: print(FleetChangesDocument),
      variables: { after },
    });
    for await (const { data, errors } of changes) {
      if (errors) throw new Error(errors[0]?.message);
      const change = data?.clusterChanged;
      if (!change) continue;
      after = change.cursor;
      if (change.__typename === 'ClusterChangesReset') after = await list();
      else if (change.__typename === 'ClusterRemoved') console.log(`${names.get(change.id) ?? change.id}  removed`);
      else show(change.cluster);
    }
  } catch (error) {
    console.error(error instanceof Error ? error.message : 'the stream broke', '- reconnecting');
  }
  await sleep(RETRY_MS);
}
