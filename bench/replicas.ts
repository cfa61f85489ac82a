import { askWell } from './client.ts';
import { cpuOf } from './process.ts';
import { API_KEY, type Product } from './product.ts';
import { CLUSTERS, graphql, rest } from './questions.ts';
import { startStandIns } from './stand-in-process.ts';

const HEADERS = { Authorization: API_KEY, 'Content-Type': 'application/json' };
const PATIENCE_MS = 120_000;

/** Milliseconds from a change that one replica takes until a subscriber of another hears of it. */
export async function heardAfter(writer: Product, reader: Product, changes: number): Promise<number[]> {
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
  const hear = async (word: string) => {
    while (!text.includes(word)) text += decoder.decode((await stream?.read())?.value, { stream: true });
    text = '';
  };
  const times: number[] = [];
  for (let change = 0; change <= changes; change++) {
    const word = `heard-${Date.now()}-${change}`;
    const began = performance.now();
    await Promise.all([askWell(writer.url, rest('PUT', `${CLUSTERS}1`, { description: word })), hear(word)]);
    // The first may have come before the stream stood.
    if (change > 0) times.push(performance.now() - began);
  }
  abort.abort();
  return times;
}

/** Lets the replicas meet all clusters for the first time: how long it takes, and what of their CPU each contact costs. */
export async function probeFirst(
  replicas: readonly Product[],
  clusters: number,
): Promise<{ seconds: number; cpuMs: number }> {
  const { standIns, stop } = await startStandIns(clusters, 0);
  try {
    const [first] = replicas as [Product];
    const data = Buffer.from(standIns.ca).toString('base64');
    const named = standIns.answering.map((port) => ({ name: `probed-${port}`, port }));
    const kubeconfig = JSON.stringify({
      ...{ apiVersion: 'v1', kind: 'Config' },
      clusters: named.map(({ name, port }) => ({
        name,
        cluster: { server: `https://127.0.0.1:${port}`, 'certificate-authority-data': data },
      })),
      users: named.map(({ name }) => ({ name, user: { token: `token-of-${name}` } })),
      contexts: named.map(({ name }) => ({ name, context: { cluster: name, user: name } })),
    });
    const cpu = () => replicas.reduce((sum, { pid }) => sum + cpuOf(pid), 0);
    const [began, cpuBefore] = [performance.now(), cpu()];
    const document = 'mutation ($text: String!) { importClusters(input: { kubeconfig: $text }) { __typename } }';
    await askWell(first.url, graphql(document, { text: kubeconfig }));
    const count = graphql('{ clusters(first: 1, filter: { states: [READY], search: "probed" }) { totalCount } }', {});
    while (performance.now() - began < PATIENCE_MS) {
      const { body } = await askWell(first.url, count);
      if (JSON.parse(body.toString()).data.clusters.totalCount === clusters) break;
    }
    return { seconds: (performance.now() - began) / 1_000, cpuMs: (cpu() - cpuBefore) / 1_000 / clusters };
  } finally {
    await stop();
  }
}
