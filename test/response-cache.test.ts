import { expect, it } from 'vitest';
import { ResponseCache } from '../src/server/response-cache.ts';

const NOW = { registry: 1, status: 1, access: 1 };
const LATER = { ...NOW, registry: 2 };

/** Answers that are kept, and how often each was computed. */
function counted({ keep = true, bytes = 10 } = {}) {
  const kept = new ResponseCache();
  const computed = new Map<string, number>();
  const ask = async (question: string, counters = NOW) => {
    const found = kept.find(counters, question);
    if (found) return found;
    return kept.compute(counters, question, async () => {
      computed.set(question, (computed.get(question) ?? 0) + 1);
      return { answer: { status: 200, headers: [], bytes: Buffer.alloc(bytes) }, keep };
    });
  };
  return { ask, times: (question: string) => computed.get(question) };
}

it('an answer is kept once its question came a second time, and computed once after each change', async () => {
  const { ask, times } = counted();
  for (let time = 0; time < 5; time++) await ask('list');
  expect(times('list')).toBe(2);
  for (let time = 0; time < 5; time++) await ask('list', LATER);
  expect(times('list')).toBe(3);
});

it('equal questions that come at once share one computation when they are known', async () => {
  const { ask, times } = counted();
  await ask('list');
  await Promise.all(Array.from({ length: 10 }, () => ask('list', LATER)));
  expect(times('list')).toBe(2);
});

it('what may not be kept is computed each time', async () => {
  const { ask, times } = counted({ keep: false });
  for (let time = 0; time < 5; time++) await ask('list');
  expect(times('list')).toBe(5);
});

it('questions that come once push out nothing that comes again', async () => {
  const { ask, times } = counted({ bytes: 1024 * 1024 });
  for (let time = 0; time < 2; time++) await ask('list');
  for (let other = 0; other < 40; other++) await ask(`once ${other}`);
  await ask('list');
  expect(times('list')).toBe(2);
});

it('of what comes again the least recently used goes first', async () => {
  const { ask, times } = counted({ bytes: 1024 * 1024 });
  for (const question of ['list', 'page']) for (let time = 0; time < 2; time++) await ask(question);
  for (let other = 0; other < 40; other++) {
    for (let time = 0; time < 2; time++) await ask(`again ${other}`);
    await ask('list');
  }
  await ask('list');
  await ask('page');
  expect([times('list'), times('page')]).toEqual([2, 3]);
});
