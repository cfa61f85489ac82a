import { callOrThrow, type HttpRequest, type HttpResponse } from './client.ts';
import { cpuOf, type ServerProcess } from './process.ts';
import { CLUSTERS, rest } from './requests.ts';
import { type Sample, sequence } from './rounds.ts';
import { KUBECONFIG } from './seed.ts';

export const OPERATIONS = ['create', 'update', 'delete'] as const;
export type Operation = (typeof OPERATIONS)[number];

/**
 * Clusters that are created, updated and deleted per batch: a small number, so that the registry stays about the same
 * size.
 */
const BATCH = 10;
const BATCHES = 4;

let createdCount = 0;

/** Creates, updates and deletes clusters. Sends each request after the response to the previous one. */
export async function changeClusters({ url, pid }: ServerProcess): Promise<Record<Operation, Sample>> {
  const times: Record<Operation, number[]> = { create: [], update: [], delete: [] };
  const used: Record<Operation, number> = { create: 0, update: 0, delete: 0 };
  for (let batch = 0; batch < BATCHES; batch++)
    await changeBatch(async (operation, requests) => {
      const responses: HttpResponse[] = [];
      const before = cpuOf(pid);
      for (const request of requests) {
        const start = performance.now();
        responses.push(await callOrThrow(url, request));
        times[operation].push(performance.now() - start);
      }
      used[operation] += cpuOf(pid) - before;
      return responses;
    });
  const sample = (operation: Operation) => ({ ...sequence(times[operation]), cpu: used[operation] });
  return { create: sample('create'), update: sample('update'), delete: sample('delete') };
}

/** Records the responses to one batch, for the bare server. */
export async function recordChanges(url: string): Promise<HttpResponse[]> {
  const responses: HttpResponse[] = [];
  await changeBatch(async (_operation, requests) => {
    const batch: HttpResponse[] = [];
    for (const request of requests) batch.push(await callOrThrow(url, request));
    responses.push(...batch);
    return batch;
  });
  return responses;
}

async function changeBatch(
  send: (operation: Operation, requests: readonly HttpRequest[]) => Promise<HttpResponse[]>,
): Promise<void> {
  const names = Array.from({ length: BATCH }, () => `created-${++createdCount}`);
  const created = await send(
    'create',
    names.map((name) => rest('POST', CLUSTERS, { name, config: KUBECONFIG, enabled: false })),
  );
  const paths = created.map(({ body }) => `${CLUSTERS}${(JSON.parse(body.toString()) as { id: number }).id}`);
  await send(
    'update',
    paths.map((path) => rest('PUT', path, { description: `updated at count ${createdCount}` })),
  );
  await send(
    'delete',
    paths.map((path) => rest('DELETE', path)),
  );
}
