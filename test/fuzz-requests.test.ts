import { readFileSync } from 'node:fs';
import { buildSchema, parse, validate } from 'graphql';
import { expect, it } from 'vitest';
import { generateDocument } from './fuzz/documents.ts';
import { Random } from './fuzz/random.ts';
import { canariesIn } from './fuzz/registry.ts';
import { generateRequest } from './fuzz/requests.ts';

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

it('a later attempt of a case asks the same in other bytes', () => {
  const [first, again] = [0, 1].map((attempt) => String(generateRequest([caller], 1, 0, attempt).body));
  expect(again).not.toBe(first);
  expect(again?.replace(' #1', '').trim()).toBe(first);
});

it('hidden texts count in an answer unless the request itself holds them', () => {
  expect(canariesIn('{"name":"zqhid-name-17"}', '', caller)).toEqual(['zqhid-name-17']);
  expect(canariesIn('{"name":"zqhid-name-17"}', 'rename to zqhid-name-17', caller)).toEqual([]);
  expect(canariesIn('{"name":"zqhid-name-17"}', '', { ...caller, seesHidden: true })).toEqual([]);
});

function isValid(query: string): boolean {
  try {
    return validate(schema, parse(query)).length === 0;
  } catch {
    return false;
  }
}
