import fc from 'fast-check';
import { expect, it } from 'vitest';
import { findJsonExcess } from '../src/json-size.ts';

const NO_LIMITS = { maxDepth: Number.POSITIVE_INFINITY, maxValues: Number.POSITIVE_INFINITY };

/** The nesting depth of a parsed value and the number of its items and members. */
function sizeOf(value: unknown): { depth: number; values: number } {
  if (typeof value !== 'object' || value === null) return { depth: 0, values: 0 };
  const inner = Object.values(value).map(sizeOf);
  return {
    depth: 1 + Math.max(0, ...inner.map(({ depth }) => depth)),
    values: inner.length + inner.reduce((sum, { values }) => sum + values, 0),
  };
}

/** JSON texts with every kind of whitespace and with strings that contain brackets, commas, quotes and backslashes. */
const text = fc
  .record({
    value: fc.jsonValue({
      maxDepth: 6,
      stringUnit: fc.constantFrom('"', '\\', '[', '{', ',', ']', '}', 'é', '\n', 'a'),
    }),
    space: fc.constantFrom('', ' ', '\t', '\r\n  '),
  })
  .map(({ value, space }) => {
    const spaced = JSON.stringify(value, null, '\t');
    return space === '' ? JSON.stringify(value) : spaced.replaceAll(/\n\t*/g, space);
  });

it('findJsonExcess counts depth and values of valid JSON as JSON.parse builds them', () => {
  fc.assert(
    fc.property(text, (json) => {
      const bytes = Buffer.from(json);
      const { depth, values } = sizeOf(JSON.parse(json));
      expect(findJsonExcess(bytes, { maxDepth: depth, maxValues: values })).toBeUndefined();
      if (depth > 0)
        expect(findJsonExcess(bytes, { ...NO_LIMITS, maxDepth: depth - 1 })).toEqual({
          what: 'depth',
          limit: depth - 1,
        });
      if (values > 0)
        expect(findJsonExcess(bytes, { ...NO_LIMITS, maxValues: values - 1 })).toEqual({
          what: 'values',
          limit: values - 1,
        });
    }),
    { numRuns: 500 },
  );
});

it('findJsonExcess never throws and never counts less than JSON.parse builds, for any bytes', () => {
  const like = fc
    .array(fc.constantFrom(...Buffer.from('[]{},:"\\ \n1a')), { maxLength: 40 })
    .map((each) => Uint8Array.from(each));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), like), (bytes) => {
      findJsonExcess(bytes, { maxDepth: 2, maxValues: 2 });
      let parsed: unknown;
      try {
        parsed = JSON.parse(Buffer.from(bytes).toString());
      } catch {
        return;
      }
      const { depth, values } = sizeOf(parsed);
      if (depth > 0) expect(findJsonExcess(bytes, { ...NO_LIMITS, maxDepth: depth - 1 })).toBeDefined();
      if (values > 0) expect(findJsonExcess(bytes, { ...NO_LIMITS, maxValues: values - 1 })).toBeDefined();
    }),
    { numRuns: 1_000 },
  );
});

it.each([
  ['{"a":1,"a":2}', 2],
  ['[[],[],{}]', 3],
  ['  "[[,,"  ', 0],
  ['["\\"",","]', 2],
])('findJsonExcess counts the values of %s: %i', (json, values) => {
  expect(findJsonExcess(Buffer.from(json), { ...NO_LIMITS, maxValues: values })).toBeUndefined();
  if (values > 0) expect(findJsonExcess(Buffer.from(json), { ...NO_LIMITS, maxValues: values - 1 })).toBeDefined();
});

it('findJsonExcess stops at the byte that exceeds a limit', () => {
  let last = -1;
  const bytes = new Proxy(Buffer.from('['.repeat(1_000)), {
    get(target, key) {
      if (typeof key === 'string' && /^\d+$/.test(key)) last = Number(key);
      return Reflect.get(target, key, target);
    },
  });
  expect(findJsonExcess(bytes, { maxDepth: 64, maxValues: 20_000 })).toEqual({ what: 'depth', limit: 64 });
  expect(last).toBe(64);
});
