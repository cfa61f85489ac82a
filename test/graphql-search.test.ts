import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fold } from '../src/domain/text.ts';
import { startApp, type TestApp } from './support/app.ts';

let app: TestApp;
const clusters: [name: string, description: string][] = [
  ['Prod-EU', 'Frankfurt\nsecond line'],
  ['straße', ''],
  ['ΟΔΟΣ ΑΘΗΝΑΣ', ''],
  ['100%', 'a_b\\c'],
  ['axb', 'İstanbul'],
  ['emoji 👩‍🚀', 'ﬁne'],
];
beforeAll(async () => {
  app = await startApp();
  for (const [name, description] of clusters)
    await app.graphql(`mutation ($input: CreateClusterInput!) { createCluster(input: $input) { __typename } }`, {
      input: { name, description, verify: 'NONE' },
    });
});
afterAll(() => app.close());

const search = async (search: string): Promise<string[]> => {
  const { data, errors } = await app.graphql(
    'query ($search: String) { clusters(filter: { search: $search }) { nodes { name } } }',
    { search },
  );
  expect(errors).toBeUndefined();
  return data.clusters.nodes.map(({ name }: { name: string }) => name);
};

describe('search', () => {
  it.each([
    ['prod', ['Prod-EU']],
    ['PROD-eu', ['Prod-EU']],
    ['FRANK', ['Prod-EU']],
    ['furt\nSECOND', ['Prod-EU']],
    ['STRASSE', ['straße']],
    ['Straße', ['straße']],
    ['STRAẞE', ['straße']],
    ['οδος', ['ΟΔΟΣ ΑΘΗΝΑΣ']],
    ['οδοσ', ['ΟΔΟΣ ΑΘΗΝΑΣ']],
    ['δοσ αθ', ['ΟΔΟΣ ΑΘΗΝΑΣ']],
    ['i\u0307STANBUL', ['axb']],
    ['👩‍🚀', ['emoji 👩‍🚀']],
    ['FINE', ['emoji 👩‍🚀']],
  ])('searching for %j ignores case in name and description', async (text, found) => {
    expect(await search(text)).toEqual(found);
  });

  it.each([
    ['%', ['100%']],
    ['_', ['100%']],
    ['\\', ['100%']],
    ['a_b', ['100%']],
    ['0%', ['100%']],
    ['%0', []],
    ['a%b', []],
    ['_\\', []],
    ['[a-z]', []],
    ['*', []],
  ])('searching for %j takes special characters literally', async (text, found) => {
    expect(await search(text)).toEqual(found);
  });

  it('a search text does not match across name and description', async () => {
    expect(await search('Prod-EU\nFrankfurt')).toEqual([]);
    expect(await search('euf')).toEqual([]);
  });

  it('an empty search text matches every cluster', async () => {
    expect(await search('')).toHaveLength(clusters.length);
  });

  it('fold makes search for any part of a text case-insensitive', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme', maxLength: 5 }), { minLength: 3, maxLength: 3 }), (parts) => {
        const [before, part, after] = parts as [string, string, string];
        const text = fold(before + part + after);
        for (const asked of [part, part.toLowerCase(), part.toUpperCase()]) expect(text).toContain(fold(asked));
        expect(text).not.toMatch(/[%_\\]/);
      }),
      { numRuns: 3000 },
    );
  });

  it('fold maps a letter and its other case to the same text', () => {
    const unlike: string[] = [];
    for (let point = 0; point < 0x20000; point++) {
      const letter = String.fromCodePoint(point);
      const cases = [letter.toLowerCase(), letter.toUpperCase(), letter.toUpperCase().toLowerCase()];
      if (!cases.every((other) => fold(other) === fold(letter))) unlike.push(letter);
    }
    expect(unlike).toEqual([]);
  });
});
