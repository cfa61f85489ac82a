import { expect, it } from 'vitest';
import { lazy } from '../src/lazy.ts';

/** Counts loads; each ends when the test calls `end` with the result of the oldest pending load. */
function loads() {
  const pending: PromiseWithResolvers<string>[] = [];
  const seen: [key: unknown, previous: unknown][] = [];
  const load = (key: unknown, previous: unknown) => {
    seen.push([key, previous]);
    const result = Promise.withResolvers<string>();
    pending.push(result);
    return result.promise;
  };
  const end = async (result: string | Error) => {
    const next = pending.shift();
    if (typeof result === 'string') next?.resolve(result);
    else next?.reject(result);
    await next?.promise.catch(() => {});
  };
  return { load, seen, end };
}

it('concurrent callers of a lazy value share one load, and later ones get it without a promise', async () => {
  const { load, seen, end } = loads();
  const read = lazy(load);
  const callers = [read(1), read(1)];
  await end('value');
  expect(await Promise.all(callers)).toEqual(['value', 'value']);
  expect(read(1)).toBe('value');
  expect(seen).toEqual([[1, undefined]]);
});

it('a failed load of a lazy value fails for all its callers and is repeated by the next call', async () => {
  const { load, seen, end } = loads();
  const read = lazy(load);
  const callers = Promise.allSettled([read(1), read(1)]);
  await end(new Error('canary'));
  expect((await callers).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  const again = read(1);
  await end('value');
  expect(await again).toBe('value');
  expect(seen).toHaveLength(2);
});

it('a lazy value without a key is loaded once', async () => {
  const { load, seen, end } = loads();
  const read = lazy<string>((_key, previous) => load(undefined, previous));
  const first = read();
  await end('value');
  expect([await first, read()]).toEqual(['value', 'value']);
  expect(seen).toHaveLength(1);
});

it('a call with another key loads a new lazy value and passes on the previous one', async () => {
  const { load, seen, end } = loads();
  const read = lazy(load);
  void read(1);
  await end('first');
  const second = read(2);
  await end('second');
  expect(await second).toBe('second');
  expect(seen).toEqual([
    [1, undefined],
    [2, 'first'],
  ]);
});

it('the failure of an older load does not discard a newer lazy value', async () => {
  const { load, seen, end } = loads();
  const read = lazy(load);
  const older = Promise.allSettled([read(1)]);
  const newer = read(2);
  await end(new Error('canary'));
  await end('newer');
  await older;
  expect(await newer).toBe('newer');
  expect(read(2)).toBe('newer');
  expect(seen).toHaveLength(2);
});

it('a lazy value is loaded again once its time has passed, but never while it is being loaded', async () => {
  const { load, seen, end } = loads();
  const read = lazy(load, { reuseMs: 0 });
  void read(1);
  void read(1);
  expect(seen).toHaveLength(1);
  await end('first');
  void read(1);
  expect(seen).toHaveLength(2);
});
