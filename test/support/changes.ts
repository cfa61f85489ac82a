/** A change as a reader of `clusterChanged` receives it. */
interface Change {
  readonly __typename: 'ClusterUpserted' | 'ClusterRemoved' | 'ClusterChangesReset';
  readonly cursor: string;
  readonly cluster?: { name: string; description: string; status: { state: string } };
  readonly databaseId?: number;
}

import { onTestFinished } from './running-test.ts';

export interface ChangeStream {
  /** Returns the next change; undefined at the end of the stream. */
  readonly next: () => Promise<Change | undefined>;
  /** Returns the changes up to and including the first that matches. */
  readonly until: (fits: (change: Change) => boolean) => Promise<Change[]>;
  /** The number of comments that arrived while the test waited for changes. */
  readonly comments: () => number;
  readonly errors: () => { extensions: { code: string } }[];
  readonly close: () => void;
}

export const CHANGES = `subscription ($filter: ClusterFilter, $after: String) { clusterChanged(filter: $filter, after: $after) {
  __typename
  ... on ClusterUpserted { cursor cluster { name description status { state } } }
  ... on ClusterRemoved { cursor databaseId }
  ... on ClusterChangesReset { cursor } } }`;

/** Opens a stream of changes over server-sent events, and closes it when the test finishes. */
export async function openChanges(
  server: { url: string },
  key: string,
  variables: { filter?: object; after?: string } = {},
): Promise<ChangeStream> {
  const abort = new AbortController();
  onTestFinished(() => abort.abort());
  const response = await fetch(`${server.url}/graphql`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'text/event-stream', Authorization: key },
    body: JSON.stringify({ query: CHANGES, variables }),
    signal: abort.signal,
  });
  const decoder = new TextDecoder();
  const reader = response.body?.getReader();
  const errors: { extensions: { code: string } }[] = [];
  let [text, comments] = ['', 0];
  const next = async (): Promise<Change | undefined> => {
    for (;;) {
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const event = text.slice(0, end);
        text = text.slice(end + 2);
        if (event.startsWith(':')) comments++;
        const [, data] = /^data: (.+)$/m.exec(event) ?? [];
        if (data === undefined) continue;
        const result = JSON.parse(data);
        errors.push(...(result.errors ?? []));
        if (result.data?.clusterChanged) return result.data.clusterChanged;
      }
      const { value, done } = (await reader?.read()) ?? { done: true };
      if (done) return undefined;
      text += decoder.decode(value, { stream: true });
    }
  };
  return {
    next,
    until: async (fits) => {
      const changes: Change[] = [];
      for (let change = await next(); change; change = await next()) {
        changes.push(change);
        if (fits(change)) return changes;
      }
      throw new Error(`the stream ended early, after ${changes.length} changes`);
    },
    comments: () => comments,
    errors: () => errors,
    close: () => abort.abort(),
  };
}
