import { parse } from 'graphql';
import { LiveBudget } from '../src/domain/probing/live-reads.ts';
import type { Context } from '../src/graphql/context.ts';
import { executeDocument } from '../src/graphql/execute.ts';
import { findRead, readWhole } from '../src/rest/reads.ts';
import { CLUSTERS, PAGE } from './requests.ts';
import { median } from './rounds.ts';
import { caller, nameOf, openBenchDomain } from './seed.ts';

const WARM_UP = 15;

/**
 * Measures the median milliseconds to compute a response that is not cached, because the registry has just changed.
 * Includes the serialisation to JSON but not HTTP.
 */
export async function computeInside(dataDir: string, rounds: number): Promise<{ restList: number; page: number }> {
  const domain = await openBenchDomain(dataDir);
  const { signal } = new AbortController();
  const context = async (unlimited: boolean): Promise<Context> => ({
    ...domain,
    ...{ counters: await domain.database.counters(), caller, unlimited, responseFacts: { isCacheable: false } },
    ...{ signal, refresh: async () => caller, charge: () => undefined, liveBudget: new LiveBudget(signal) },
  });
  const list = findRead(CLUSTERS);
  if (!list) throw new Error(`${CLUSTERS} has no list`);
  const whole = { maxBytes: Number.POSITIVE_INFINITY, memory: { grow: () => true, shrink: () => {} } };
  const document = parse(PAGE);
  let changes = 0;
  const afterChange = async (compute: () => Promise<unknown>) => {
    const times: number[] = [];
    for (let round = 0; round < WARM_UP + rounds; round++) {
      await domain.clusters.update(
        caller,
        { by: { name: nameOf(1) }, description: `change ${Date.now()} ${++changes}` },
        { cluster: {} },
      );
      const start = performance.now();
      const computed = await compute();
      if (!Buffer.isBuffer(computed)) JSON.stringify(computed);
      times.push(performance.now() - start);
    }
    return median(times.slice(WARM_UP));
  };
  const restList = await afterChange(async () =>
    Buffer.concat((await readWhole(await context(true), list.pages, whole)).pieces),
  );
  const page = await afterChange(async () => {
    const result = await executeDocument(document as never, { first: 100, after: null }, await context(false));
    if (result.errors) throw result.errors[0];
    return result;
  });
  await domain.close();
  return { restList, page };
}
