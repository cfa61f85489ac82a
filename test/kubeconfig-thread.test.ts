import { describe, expect, it } from 'vitest';
import { readKubeconfig } from '../src/kubernetes/kubeconfig/kubeconfig.ts';
import { needsWorkerThread, readKubeconfigOffThread, TooManyKubeconfigs } from '../src/kubernetes/kubeconfig/reader.ts';
import { createAuthority } from './support/certificates.ts';
import { base64 } from './support/kubeconfigs.ts';

const policy = { allowHttp: false, allowInsecureTls: false, allowProxy: false, allowLoopback: true };
const ca = base64(createAuthority().certificate);

function yamlOf(contexts: number): string {
  const numbers = Array.from({ length: contexts }, (_, n) => n);
  return [
    'apiVersion: v1\nkind: Config\ncurrent-context: c1\nclusters:\n',
    ...numbers.map((n) => `- name: c${n}\n  cluster:\n    server: https://10.0.${n >> 8}.${n & 255}:6443\n`),
    ...(contexts > 0 ? [`    certificate-authority-data: ${ca}\n`] : []),
    'users:\n',
    ...numbers.map((n) => `- name: u${n}\n  user:\n    token: ${'t'.repeat(300)}${n}\n`),
    'contexts:\n',
    ...numbers.map((n) => `- name: c${n}\n  context:\n    cluster: c${n}\n    user: u${n}\n`),
  ].join('');
}

describe('a large kubeconfig', () => {
  it('a large kubeconfig is parsed in a worker thread, with the same result as in the main thread', async () => {
    const text = yamlOf(1_000);
    expect(needsWorkerThread(text)).toBe(true);
    let turns = 0;
    let isDone = false;
    const count = () => {
      turns += 1;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    const reading = await readKubeconfigOffThread(text, policy);
    isDone = true;
    // Parsing in the main thread would block all turns but one.
    expect(turns).toBeGreaterThan(20);
    const bare = reading.contexts?.map(({ described: _, ...context }) => context);
    expect({ ...reading, contexts: bare }).toEqual(readKubeconfig(text, policy));
    expect(reading.contexts?.at(-1)?.described).toMatchObject({ kind: 'TOKEN', caExpiresAt: expect.any(Date) });
  });

  it('a worker thread reports the same problem as the main thread', async () => {
    const text = `${yamlOf(1_000)}contexts: []\n`;
    expect(await readKubeconfigOffThread(text, policy)).toEqual(readKubeconfig(text, policy));
    expect(await readKubeconfigOffThread('x'.repeat(5 * 1024 * 1024), policy)).toEqual({
      problem: 'the kubeconfig is larger than 4 MiB',
    });
  });

  it.each([
    ['mappings', 'a: b\n'],
    ['lists', '- a\n'],
    ['flow lists', '[],'],
    ['quotes', '"'],
    ['block scalars', 'k: |\n a\n'],
  ])('a kubeconfig with many %s is parsed in a worker thread', (_what, part) => {
    expect(needsWorkerThread(part.repeat(64_000 / part.length))).toBe(true);
  });

  it('a large kubeconfig is rejected if fifteen others are waiting', async () => {
    const text = yamlOf(300);
    const all = await Promise.allSettled(Array.from({ length: 20 }, () => readKubeconfigOffThread(text, policy)));
    const refused = all.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    expect(refused).toHaveLength(4);
    for (const error of refused) expect(error).toBeInstanceOf(TooManyKubeconfigs);
    expect(all.flatMap((result) => (result.status === 'fulfilled' ? [result.value.contexts?.length] : []))).toEqual(
      Array(16).fill(300),
    );
    expect((await readKubeconfigOffThread(text, policy)).contexts).toHaveLength(300);
  });
});

it('parses at most two large kubeconfigs of one caller at a time, and leaves room for other callers', async () => {
  const text = yamlOf(300);
  const readFor = (caller: string) => readKubeconfigOffThread(text, policy, caller);
  const all = await Promise.allSettled(['a', 'a', 'a', 'b', 'a', 'b'].map(readFor));
  const outcomes = all.map((result) =>
    result.status === 'rejected' ? result.reason.isCallerLimit : result.value.problem,
  );
  expect(outcomes).toEqual([undefined, undefined, true, undefined, true, undefined]);
  expect((await readFor('a')).contexts).toHaveLength(300);
});

it('a small kubeconfig is parsed in the main thread', () => {
  expect(needsWorkerThread(yamlOf(50))).toBe(false);
});
