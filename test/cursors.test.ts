import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCursor, writeCursor } from '../src/domain/clusters/cluster-page.ts';
import { startApp, type TestApp } from './support/app.ts';
import { clusterRow } from './support/cluster-row.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const fields = ['NAME', 'CREATED_AT', 'DATABASE_ID'] as const;
const directions = ['ASC', 'DESC'] as const;
type Field = (typeof fields)[number];
type Direction = (typeof directions)[number];

interface Row {
  id: number;
  name: string;
  createdAt: Date;
}

const PAGE = `query ($first: Int, $last: Int, $after: String, $before: String, $orderBy: ClusterOrder) {
  clusters(first: $first, last: $last, after: $after, before: $before, orderBy: $orderBy) {
    edges { cursor node { databaseId } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}`;

interface Page {
  edges: { cursor: string; node: { databaseId: number } }[];
  pageInfo: { hasNextPage: boolean; hasPreviousPage: boolean; startCursor: string | null; endCursor: string | null };
}

async function page(variables: object): Promise<Page> {
  const { data, errors } = await app.graphql(PAGE, variables);
  expect(errors).toBeUndefined();
  return data.clusters;
}

const insert = (rows: readonly Omit<Row, 'id'>[]): Promise<Row[]> =>
  app.domain.database.write('registry', (tx) =>
    tx.cluster.createManyAndReturn({
      data: rows.map((row) => ({ ...clusterRow(row.name), ...row })),
      select: { id: true, name: true, createdAt: true },
    }),
  );
const remove = (where: object) => app.domain.database.write('registry', (tx) => tx.cluster.deleteMany({ where }));

/** The order that the contract specifies: names by bytes, equal times by id. */
function compare(field: Field, direction: Direction) {
  const ascending = (left: Row, right: Row) => {
    if (field === 'NAME') return Buffer.compare(Buffer.from(left.name), Buffer.from(right.name));
    if (field === 'CREATED_AT') return left.createdAt.getTime() - right.createdAt.getTime() || left.id - right.id;
    return left.id - right.id;
  };
  return direction === 'ASC' ? ascending : (left: Row, right: Row) => ascending(right, left);
}

const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 6 });
const createdAt = fc.integer({ min: 0, max: 4 }).map((day) => new Date(Date.UTC(2026, 10, 20 + day)));
const rows = fc.uniqueArray(fc.record({ name, createdAt }), { selector: (row) => row.name, maxLength: 14 });
const orders = fields.flatMap((field) => directions.map((direction) => ({ field, direction })));

describe.each(orders)('pages by $field $direction', ({ field, direction }) => {
  const orderBy = { field, direction };
  const order = compare(field, direction);

  it.each(['forward', 'backward'] as const)('pages read %s contain every row exactly once', async (way) => {
    await fc.assert(
      fc.asyncProperty(rows, fc.integer({ min: 1, max: 5 }), async (given, size) => {
        await remove({});
        const expected = (await insert(given)).sort(order).map(({ id }) => id);
        const read: number[] = [];
        let cursor: string | null = null;
        for (let more = true; more; ) {
          const variables = way === 'forward' ? { first: size, after: cursor } : { last: size, before: cursor };
          const { edges, pageInfo }: Page = await page({ ...variables, orderBy });
          const ids = edges.map(({ node }) => node.databaseId);
          if (way === 'forward') read.push(...ids);
          else read.unshift(...ids);
          expect(pageInfo.startCursor).toBe(edges[0]?.cursor ?? null);
          expect(pageInfo.endCursor).toBe(edges.at(-1)?.cursor ?? null);
          more = way === 'forward' ? pageInfo.hasNextPage : pageInfo.hasPreviousPage;
          expect(more).toBe(read.length < expected.length);
          expect(way === 'forward' ? pageInfo.hasPreviousPage : pageInfo.hasNextPage).toBe(read.length > ids.length);
          cursor = way === 'forward' ? pageInfo.endCursor : pageInfo.startCursor;
        }
        expect(read).toEqual(expected);
      }),
      { numRuns: 8 },
    );
  });

  it.each(['forward', 'backward'] as const)(
    'pages read %s stay consistent while rows are inserted and deleted',
    async (way) => {
      const change = fc.record({
        deleted: fc.array(fc.nat(20), { maxLength: 3 }),
        inserted: fc.array(createdAt, { maxLength: 2 }),
      });
      await fc.assert(
        fc.asyncProperty(rows, fc.array(change, { maxLength: 5 }), fc.nat(2), async (given, changes, more) => {
          await remove({});
          let model = await insert(given);
          let last: Row | undefined;
          let cursor: string | null = null;
          let made = 0;
          const ahead = way === 'forward' ? order : (left: Row, right: Row) => order(right, left);
          for (const { deleted, inserted } of changes) {
            const { edges, pageInfo }: Page = await page(
              way === 'forward'
                ? { first: more + 1, after: cursor, orderBy }
                : { last: more + 1, before: cursor, orderBy },
            );
            const from = last;
            const left = model.filter((row) => from === undefined || ahead(row, from) > 0).sort(ahead);
            const expected = left.slice(0, more + 1);
            const ids = edges.map(({ node }) => node.databaseId);
            expect(way === 'forward' ? ids : ids.reverse()).toEqual(expected.map(({ id }) => id));
            const behind = from !== undefined && model.some((row) => ahead(row, from) <= 0);
            const isMore = left.length > expected.length;
            expect([pageInfo.hasNextPage, pageInfo.hasPreviousPage]).toEqual(
              way === 'forward' ? [isMore, behind] : [behind, isMore],
            );
            if (expected.length === 0) break;
            last = expected.at(-1);
            cursor = way === 'forward' ? pageInfo.endCursor : pageInfo.startCursor;
            const ids_ = deleted.flatMap((index) => model[index]?.id ?? []);
            // Always delete the row that the cursor was made from.
            if (deleted.length > 0 && last) ids_.push(last.id);
            await remove({ id: { in: ids_ } });
            model = model.filter(({ id }) => !ids_.includes(id));
            model.push(
              ...(await insert(
                inserted.map((createdAt) => ({ name: `new-${made++}-${createdAt.getTime()}`, createdAt })),
              )),
            );
          }
        }),
        { numRuns: 8 },
      );
    },
  );
});

describe('a page between two cursors', () => {
  it('a page between two cursors has the rows after the one and before the other, from either end', async () => {
    await remove({});
    const made = await insert([...'abcdefg'].map((name) => ({ name, createdAt: new Date(0) })));
    const all = await page({ first: 100, orderBy: { field: 'NAME', direction: 'ASC' } });
    const [after, before] = [all.edges[1]?.cursor, all.edges[5]?.cursor];
    const orderBy = { field: 'NAME', direction: 'ASC' };
    const ids = (found: Page) => found.edges.map(({ node }) => made.find(({ id }) => id === node.databaseId)?.name);
    expect(ids(await page({ first: 2, after, before, orderBy }))).toEqual(['c', 'd']);
    expect(ids(await page({ last: 2, after, before, orderBy }))).toEqual(['d', 'e']);
    expect(ids(await page({ first: 100, after, before, orderBy }))).toEqual(['c', 'd', 'e']);
    expect(ids(await page({ after, before, orderBy }))).toEqual(['c', 'd', 'e']);
    expect(ids(await page({ first: 5, after: before, before: after, orderBy }))).toEqual([]);
  });
});

describe('a cursor', () => {
  const errorsOf = async (variables: object) => {
    const { status, errors } = await app.graphql(PAGE, { first: 5, ...variables });
    expect(status).toBe(200);
    return errors?.map(({ extensions }) => [
      extensions.code,
      extensions.issues?.map(({ path }: { path: string[] }) => path),
    ]);
  };

  it('rejects a cursor of another order', async () => {
    await remove({});
    await insert([{ name: 'a', createdAt: new Date(0) }]);
    for (const made of fields)
      for (const used of fields) {
        const { edges } = await page({ first: 1, orderBy: { field: made, direction: 'ASC' } });
        const answer = await errorsOf({ after: edges[0]?.cursor, orderBy: { field: used, direction: 'DESC' } });
        expect(answer).toEqual(made === used ? undefined : [['INVALID_INPUT', [['after']]]]);
      }
  });

  it('rejects every forged or malformed cursor', async () => {
    const field = fc.oneof(fc.constantFrom<unknown>(...fields, 'UPDATED_AT', '__proto__'), fc.jsonValue());
    const value = fc.oneof(
      fc.jsonValue(),
      fc.integer(),
      fc.double(),
      fc.constantFrom('a\0b', '\ud800', 8.64e15 + 1, 2 ** 53),
    );
    const forged = fc
      .array(fc.oneof(field, value), { maxLength: 4 })
      .map((parts) => Buffer.from(JSON.stringify(parts)).toString('base64url'));
    const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 60 }), fc.base64String(), forged);
    await fc.assert(
      fc.asyncProperty(
        text,
        fc.constantFrom('after', 'before'),
        fc.constantFrom(...orders),
        async (cursor, side, orderBy) => {
          const answer = await errorsOf({ [side]: cursor, orderBy });
          // Only a cursor that we could have written is accepted.
          const known = readCursor(cursor);
          expect(answer).toEqual(known?.field === orderBy.field ? undefined : [['INVALID_INPUT', [[side]]]]);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('rejects cursors with impossible values and accepts those with extreme values', async () => {
    const forge = (...parts: unknown[]) => Buffer.from(JSON.stringify(parts)).toString('base64url');
    const [first, last] = [-62_135_596_800_000, 253_402_300_799_999];
    for (const direction of directions)
      for (const side of ['after', 'before']) {
        const answer = (field: Field, value: unknown, id: number) =>
          errorsOf({ [side]: forge(field, value, id), orderBy: { field, direction } });
        for (const time of [first, last]) expect(await answer('CREATED_AT', time, 2 ** 31 - 1)).toBeUndefined();
        expect(await answer('DATABASE_ID', 2 ** 31 - 1, 2 ** 31 - 1)).toBeUndefined();
        const none = [['INVALID_INPUT', [[side]]]];
        for (const time of [first - 1, -62_167_219_200_001, -8.64e15, last + 1, 8.64e15])
          expect(await answer('CREATED_AT', time, 1), String(time)).toEqual(none);
        for (const id of [0, 2 ** 31, 2 ** 53]) expect(await answer('DATABASE_ID', id, id)).toEqual(none);
        expect(await answer('DATABASE_ID', 1, 2)).toEqual(none);
      }
  });

  it('readCursor rejects a cursor with characters added or removed', async () => {
    const cursor = writeCursor({ id: 7, name: 'ü', createdAt: new Date(0) }, { field: 'NAME', direction: 'ASC' });
    expect(readCursor(cursor)).toEqual({ field: 'NAME', value: 'ü', id: 7 });
    for (const other of [`${cursor}=`, `${cursor}!`, ` ${cursor}`, cursor.slice(1), cursor.slice(0, -1), ''])
      expect(readCursor(other)).toBeUndefined();
  });

  it('a cursor restores its position for every order', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 31 - 1 }), name, createdAt, (id, name, createdAt) => {
        for (const order of orders) {
          const value = { NAME: name, CREATED_AT: createdAt.getTime(), DATABASE_ID: id }[order.field];
          expect(readCursor(writeCursor({ id, name, createdAt }, order))).toEqual({ field: order.field, value, id });
        }
      }),
    );
  });
});
