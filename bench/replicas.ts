import { callOrThrow } from './client.ts';
import { cpuOf } from './process.ts';
import { API_KEY, type Product } from './product.ts';
import { CLUSTERS, query, rest } from './requests.ts';
import { kubeconfigOf, startStandIns } from './stand-in-process.ts';
import { until } from './until.ts';

const HEADERS = { Authorization: API_KEY, 'Content-Type': 'application/json' };

/** Measures the milliseconds from a change through one replica until a subscriber of another replica receives it. */
export async function timeNotifications(writer: Product, reader: Product, changes: number): Promise<number[]> {
  const abort = new AbortController();
  const response = await fetch(`${reader.url}/graphql`, {
    method: 'POST',
    headers: { ...HEADERS, Accept: 'text/event-stream' },
    body: JSON.stringify({
      query: 'subscription { clusterChanged { ... on ClusterUpserted { cluster { description } } } }',
    }),
    signal: abort.signal,
  });
  const decoder = new TextDecoder();
  const stream = response.body?.getReader();
  let text = '';
  const waitFor = async (word: string) => {
    while (!text.includes(word)) text += decoder.decode((await stream?.read())?.value, { stream: true });
    text = '';
  };
  const times: number[] = [];
  for (let change = 0; change <= changes; change++) {
    const word = `change-${Date.now()}-${change}`;
    const start = performance.now();
    await Promise.all([callOrThrow(writer.url, rest('PUT', `${CLUSTERS}1`, { description: word })), waitFor(word)]);
    // The first change does not count: it may have been sent before the subscription was established.
    if (change > 0) times.push(performance.now() - start);
  }
  abort.abort();
  return times;
}

/** Imports clusters and measures the time until all are READY, and the CPU milliseconds of all replicas per cluster. */
export async function probeFirst(
  replicas: readonly Product[],
  clusters: number,
): Promise<{ seconds: number; cpuMs: number }> {
  const { standIns, stop } = await startStandIns(clusters, 0);
  try {
    const [first] = replicas as [Product];
    const config = kubeconfigOf(standIns.answering, { ca: standIns.ca, prefix: 'probed' });
    const cpu = () => replicas.reduce((sum, { pid }) => sum + cpuOf(pid), 0);
    const [start, cpuBefore] = [performance.now(), cpu()];
    const document = 'mutation ($text: String!) { importClusters(input: { kubeconfig: $text }) { __typename } }';
    const { importClusters } = await query<{ importClusters: { __typename: string } }>(first.url, document, {
      text: config,
    });
    if (importClusters.__typename !== 'ImportClustersSuccess') throw new Error(importClusters.__typename);
    const count = '{ clusters(first: 1, filter: { states: [READY], search: "probed" }) { totalCount } }';
    await until('all clusters are READY', async () => {
      const data = await query<{ clusters: { totalCount: number } }>(first.url, count);
      return data.clusters.totalCount === clusters;
    });
    return { seconds: (performance.now() - start) / 1_000, cpuMs: (cpu() - cpuBefore) / 1_000 / clusters };
  } finally {
    await stop();
  }
}
