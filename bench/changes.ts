import { type Answer, type Ask, askWell } from './client.ts';
import { cpuOf, type ServerProcess } from './process.ts';
import { CLUSTERS, rest } from './questions.ts';
import { type Sample, sequence } from './rounds.ts';
import { KUBECONFIG } from './seed.ts';

export const OPERATIONS = ['create', 'update', 'delete'] as const;
export type Operation = (typeof OPERATIONS)[number];

/** So many clusters are made, changed and deleted at a time: the registry keeps its size, near enough. */
const BATCH = 10;
const BATCHES = 4;

let made = 0;

/** Creates, updates and deletes clusters, each request sent when the one before is answered. */
export async function changeClusters({ url, pid }: ServerProcess): Promise<Record<Operation, Sample>> {
  const times: Record<Operation, number[]> = { create: [], update: [], delete: [] };
  const used: Record<Operation, number> = { create: 0, update: 0, delete: 0 };
  for (let batch = 0; batch < BATCHES; batch++)
    await changeBatch(async (operation, asks) => {
      const answers: Answer[] = [];
      const before = cpuOf(pid);
      for (const asked of asks) {
        const began = performance.now();
        answers.push(await askWell(url, asked));
        times[operation].push(performance.now() - began);
      }
      used[operation] += cpuOf(pid) - before;
      return answers;
    });
  const sample = (operation: Operation) => ({ ...sequence(times[operation]), cpu: used[operation] });
  return { create: sample('create'), update: sample('update'), delete: sample('delete') };
}

/** The answers of one batch, for a bare server that sends them in turn. */
export async function answersOfChanges(url: string): Promise<Answer[]> {
  const answers: Answer[] = [];
  await changeBatch(async (_operation, asks) => {
    const batch: Answer[] = [];
    for (const asked of asks) batch.push(await askWell(url, asked));
    answers.push(...batch);
    return batch;
  });
  return answers;
}

async function changeBatch(send: (operation: Operation, asks: readonly Ask[]) => Promise<Answer[]>): Promise<void> {
  const names = Array.from({ length: BATCH }, () => `made-${++made}`);
  const created = await send(
    'create',
    names.map((name) => rest('POST', CLUSTERS, { name, config: KUBECONFIG, enabled: false })),
  );
  const paths = created.map(({ body }) => `${CLUSTERS}${(JSON.parse(body.toString()) as { id: number }).id}`);
  await send(
    'update',
    paths.map((path) => rest('PUT', path, { description: `changed with number ${made}` })),
  );
  await send(
    'delete',
    paths.map((path) => rest('DELETE', path)),
  );
}
