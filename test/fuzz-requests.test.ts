import { readFileSync } from 'node:fs';
import { buildSchema, parse, validate } from 'graphql';
import { expect, it } from 'vitest';
import { generateDocument } from './fuzz/documents.ts';
import { allowedGrowth, judge } from './fuzz/judge.ts';
import { Random } from './fuzz/random.ts';
import { canariesIn } from './fuzz/registry.ts';
import { generateRequest } from './fuzz/requests.ts';
import type { FuzzAnswer } from './fuzz/send.ts';
import type { FuzzServer } from './fuzz/server.ts';

const schema = buildSchema(readFileSync('schema.graphql', 'utf8'));
const caller = { name: 'scoped', headers: {}, seesHidden: false };
const documents = Array.from({ length: 200 }, (_, number) => generateDocument(new Random(1, number)));

it('the fuzzer generates the same request for the same seed and case', () => {
  const bodies = () => Array.from({ length: 20 }, (_, number) => generateRequest([caller], 1, number).body);
  expect(bodies()).toEqual(bodies());
  expect(new Set(bodies()).size).toBeGreaterThan(10);
});

it('most documents that the fuzzer generates are valid, and they cover every kind of root field', () => {
  const valid = documents.filter(({ query, about }) => !about.includes(', mutation') && isValid(query));
  expect(valid.length).toBeGreaterThan(100);
  for (const kind of ['query', 'mutation', 'subscription'])
    expect(valid.filter(({ query }) => query.startsWith(kind)).length).toBeGreaterThan(0);
});

it('a later attempt of a case sends the same request in other bytes', () => {
  const [first, again] = [0, 1].map((attempt) => String(generateRequest([caller], 1, 0, attempt).body));
  expect(again).not.toBe(first);
  expect(again?.replace(' #1', '').trim()).toBe(first);
});

it('hidden texts in a response count as a leak unless the request contains them', () => {
  expect(canariesIn('{"name":"zqhid-name-17"}', '', caller)).toEqual(['zqhid-name-17']);
  expect(canariesIn('{"name":"zqhid-name-17"}', 'rename to zqhid-name-17', caller)).toEqual([]);
  expect(canariesIn('{"name":"zqhid-name-17"}', '', { ...caller, seesHidden: true })).toEqual([]);
});

it('a request may grow memory by the limit of one caller, and by more only for live reads', () => {
  const mib = 1024 * 1024;
  const query = (text: string) => JSON.stringify({ query: text });
  expect(allowedGrowth({ path: '/graphql', body: query('{ clusters { nodes { name } } }') })).toBeLessThan(128 * mib);
  const live = query('{ clusters { nodes { live { nodes { name } } } } }');
  expect(allowedGrowth({ path: '/graphql', body: live })).toBeGreaterThan((64 + 256) * mib);
  expect(allowedGrowth({ path: '/graphql?query=%7Bcluster%7Blive%7B', body: '' })).toBeGreaterThan((64 + 256) * mib);
});

it('an error in the server log is reported as a fault once', async () => {
  const lines = ['{"level":50,"msg":"a request failed"}'];
  const server = { isRunning: false, takeErrors: () => lines.splice(0) } as unknown as FuzzServer;
  const answer = { status: 200, bytes: 2, text: '{}', isLate: false } as FuzzAnswer;
  const judged = () =>
    judge(server, { request: generateRequest([caller], 1, 0), answer, cpuMs: 0, growth: 0, stallMs: 0 });
  expect(await judged()).toContain('error log: {"level":50,"msg":"a request failed"}');
  expect((await judged()).join()).not.toContain('error log');
});

function isValid(query: string): boolean {
  try {
    return validate(schema, parse(query)).length === 0;
  } catch {
    return false;
  }
}
