import type { TestApp } from './app.ts';
import { subscribe } from './wire.ts';

const DOCUMENT = (args: string) => `subscription { clusterChanged${args} { __typename
  ... on ClusterUpserted { cursor cluster { name } } ... on ClusterRemoved { cursor databaseId }
  ... on ClusterChangesReset { cursor } } }`;

interface Change {
  __typename: string;
  cursor: string;
  cluster?: { name: string };
  databaseId?: number;
}

/**
 * Follows changes of clusters. `events` lists the events so far: `+name`, `-id`, `reset` or an error code; `ended`
 * settles with the stream.
 */
export async function follow(app: TestApp, headers: Record<string, string>, after?: string) {
  const stream = await subscribe(
    app,
    DOCUMENT(after === undefined ? '' : `(after: ${JSON.stringify(after)})`),
    headers,
  );
  const changes: Change[] = [];
  const ended = read(stream, changes);
  // The stream ends with the server at the latest.
  ended.catch(() => {});
  const events = () => changes.map(abbreviate);
  return { events, changes, ended };
}

function abbreviate({ __typename: name, cluster, databaseId }: Change): string {
  if (cluster) return `+${cluster.name}`;
  if (databaseId !== undefined) return `-${databaseId}`;
  return name === 'ClusterChangesReset' ? 'reset' : name;
}

async function read(stream: Response, changes: Change[]): Promise<void> {
  let text = '';
  for await (const chunk of (stream.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('data: {')) changes.push(changeOf(JSON.parse(line.slice(6))));
  }
}

function changeOf({
  data,
  errors,
}: {
  data?: { clusterChanged: Change };
  errors?: { extensions: { code: string } }[];
}): Change {
  return data?.clusterChanged ?? { __typename: errors?.[0]?.extensions.code ?? '', cursor: '' };
}
