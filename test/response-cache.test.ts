import { expect, it } from 'vitest';
import { ResponseCache } from '../src/server/response-cache.ts';

const NOW = { registry: 1, status: 1, access: 1 };
const LATER = { ...NOW, registry: 2 };

/** A cache of responses, with a count of how often each was computed. */
function createCountedCache({ isCacheable = true, bytes = 10 } = {}) {
  const kept = new ResponseCache();
  const computed = new Map<string, number>();
  const getResponse = async (key: string, counters = NOW) => {
    const found = kept.find(counters, key);
    if (found) return found;
    return kept.compute(counters, key, async () => {
      computed.set(key, (computed.get(key) ?? 0) + 1);
      return { response: { status: 200, headers: [], bytes: Buffer.alloc(bytes) }, isCacheable };
    });
  };
  return { getResponse, computationsOf: (key: string) => computed.get(key) };
}

it('a response is cached from its second request on, and computed once after each change', async () => {
  const { getResponse, computationsOf } = createCountedCache();
  for (let time = 0; time < 5; time++) await getResponse('list');
  expect(computationsOf('list')).toBe(2);
  for (let time = 0; time < 5; time++) await getResponse('list', LATER);
  expect(computationsOf('list')).toBe(3);
});

it('concurrent requests for a known cache key share one computation', async () => {
  const { getResponse, computationsOf } = createCountedCache();
  await getResponse('list');
  await Promise.all(Array.from({ length: 10 }, () => getResponse('list', LATER)));
  expect(computationsOf('list')).toBe(2);
});

it('a response that must not be cached is computed for each request', async () => {
  const { getResponse, computationsOf } = createCountedCache({ isCacheable: false });
  for (let time = 0; time < 5; time++) await getResponse('list');
  expect(computationsOf('list')).toBe(5);
});

it('requests that occur once do not evict responses that are requested repeatedly', async () => {
  const { getResponse, computationsOf } = createCountedCache({ bytes: 1024 * 1024 });
  for (let time = 0; time < 2; time++) await getResponse('list');
  for (let other = 0; other < 40; other++) await getResponse(`once ${other}`);
  await getResponse('list');
  expect(computationsOf('list')).toBe(2);
});

it('of the responses that are requested repeatedly, the least recently used is evicted first', async () => {
  const { getResponse, computationsOf } = createCountedCache({ bytes: 1024 * 1024 });
  for (const key of ['list', 'page']) for (let time = 0; time < 2; time++) await getResponse(key);
  for (let other = 0; other < 40; other++) {
    for (let time = 0; time < 2; time++) await getResponse(`again ${other}`);
    await getResponse('list');
  }
  await getResponse('list');
  await getResponse('page');
  expect([computationsOf('list'), computationsOf('page')]).toEqual([2, 3]);
});
