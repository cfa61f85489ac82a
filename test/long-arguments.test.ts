import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { roleSchema } from '../src/domain/accounts/role.ts';
import { createSchema } from '../src/domain/accounts/user.ts';
import { clusterFields } from '../src/domain/clusters/cluster.ts';
import { stepsOfFilter } from '../src/domain/clusters/filter-steps.ts';
import { readBounds } from '../src/domain/page.ts';
import { isWithin } from '../src/domain/storable.ts';
import { decodeGlobalId, encodeGlobalId } from '../src/graphql/global-id.ts';
import { SqliteConnection } from '../src/storage/sqlite/connection.ts';
import { startApp, type TestApp } from './support/app.ts';
import { describeOnSqlite } from './support/database.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ GRAPHQL_COST_PER_MINUTE: '0' });
});
afterAll(() => app.close());
afterEach(() => vi.restoreAllMocks());

const long = 'x'.repeat(3_000_000);
const rules = clusterFields({ allowLoopback: true } as never);
const create = (input: object) => rules.create.safeParse({ name: 'x', ...input }).error?.issues ?? [];

/** Counts how often a text is processed as a whole. */
function watchTextFunctions(): { calls: () => number } {
  const spies = [
    vi.spyOn(String.prototype, 'isWellFormed'),
    vi.spyOn(String.prototype, 'includes'),
    vi.spyOn(String.prototype, 'match'),
    vi.spyOn(String.prototype, 'toLowerCase'),
    vi.spyOn(RegExp.prototype, 'exec'),
    vi.spyOn(RegExp.prototype, 'test'),
    vi.spyOn(URL, 'parse'),
    vi.spyOn(Buffer, 'from'),
    vi.spyOn(JSON, 'parse'),
  ];
  const isLong = (value: unknown) => typeof value === 'string' && value.length > 100_000;
  return {
    calls: () =>
      spies.reduce(
        (sum, { mock }) =>
          sum + mock.calls.filter((args, index) => isLong(args[0]) || isLong(mock.contexts[index]?.toString())).length,
        0,
      ),
  };
}

describe('texts that are too long', () => {
  it.each([
    ['a name', () => create({ name: long })],
    ['a description', () => create({ description: long })],
    ['a URL', () => create({ prometheusURL: `http://${long}` })],
    ['the name of a person', () => createSchema.safeParse({ username: 'x', name: long, roles: [] }).error?.issues],
    [
      'a label selector of a role',
      () =>
        roleSchema.safeParse({ name: 'x', actions: ['clusters.read'], clusters: { labelSelector: long } }).error
          ?.issues,
    ],
    [
      'a name of a role’s clusters',
      () => roleSchema.safeParse({ name: 'x', actions: ['clusters.read'], clusters: { names: [long] } }).error?.issues,
    ],
  ])('rejects %s by its length, without reading it', (_, check) => {
    const work = watchTextFunctions();
    const issues = check();
    expect(work.calls()).toBe(0);
    expect(issues).toEqual([
      expect.objectContaining({ message: expect.stringMatching(/^must be at most [\d,]+ characters$/) }),
    ]);
  });

  it('rejects a cursor that is too long before decoding it', () => {
    const read = vi.fn(() => 7);
    expect(() => readBounds({ after: long, before: long }, read)).toThrow('after: is not a cursor of this connection');
    expect(read).not.toHaveBeenCalled();
  });

  it('rejects a global id that is too long before decoding it', () => {
    const work = watchTextFunctions();
    expect(decodeGlobalId(encodeGlobalId('Cluster', 'x').padEnd(3_000_000, 'A'))).toEqual({ typename: '', id: '' });
    expect(work.calls()).toBe(0);
  });

  it('rejects a search that is too long before folding it to count its work', () => {
    const work = watchTextFunctions();
    expect(stepsOfFilter({ search: long }, { clusters: 0, searchBytes: 10_000 })).toBe(0);
    expect(work.calls()).toBe(0);
  });

  it('accepts a text of exactly the maximum number of code points', () => {
    expect([isWithin('🙂'.repeat(253), 253), isWithin('🙂'.repeat(254), 253), isWithin('x'.repeat(253), 253)]).toEqual([
      true,
      false,
      true,
    ]);
  });
});

describe('lists that are too long', () => {
  const items = <T>(item: T) => {
    let read = 0;
    const list = new Proxy(Array<T>(19_900).fill(item), {
      get(target, key, receiver) {
        if (typeof key === 'string' && /^\d+$/.test(key)) read++;
        return Reflect.get(target, key, receiver);
      },
    });
    return { list, read: () => read };
  };

  it.each([
    ['labels', { key: '!', value: '!' }, (list: unknown) => create({ labels: list })],
    ['roles of a person', 7, (list: unknown) => createSchema.safeParse({ username: 'x', roles: list }).error?.issues],
    ['actions of a role', 'none', (list: unknown) => roleSchema.safeParse({ name: 'x', actions: list }).error?.issues],
    [
      'clusters of a role',
      '',
      (list: unknown) =>
        roleSchema.safeParse({ name: 'x', actions: ['clusters.read'], clusters: { names: list } }).error?.issues,
    ],
  ])('rejects a list of %s by its length, before reading its items', (_, item, check) => {
    const { list, read } = items(item);
    expect(check(list)).toHaveLength(1);
    expect(read()).toBe(0);
  });
});

describe('short responses to invalid input', () => {
  const names = Array.from({ length: 19_000 }, (_, index) => `role-${index}-${'x'.repeat(150)}`);

  it('a REST response to thousands of wrong items is short', async () => {
    const { status, text } = await app.rest('POST', '/api/v1/admin/apikeys/', { name: 'x', scopes: names });
    expect([status, text.length < 300]).toEqual([400, true]);
  });

  it('a REST response to many wrong items lists a few and counts the rest', async () => {
    const { text } = await app.rest('POST', '/api/v1/admin/apikeys/', { name: 'x', scopes: names.slice(0, 60) });
    expect(text.length).toBeLessThan(4_000);
    expect(text).toContain('and 55 more problems');
  });

  it.each([
    ['createUser(input: { username: "x", roles: $names })', 50],
    ['createApiKey(input: { name: "x", roles: $names })', 100],
  ])('the response of %s stays short for a list of any length', async (field, most) => {
    for (const count of [most - 5, names.length]) {
      const { data, errors } = await app.graphql(
        `mutation ($names: [String!]!) { m: ${field} { ... on InvalidInputError { message issues { path message } } } }`,
        { names: names.slice(0, count) },
      );
      expect(errors).toBeUndefined();
      expect(JSON.stringify(data).length).toBeLessThan(2_500);
      expect(data.m.message).toContain(count === names.length ? `at most ${most}` : 'and');
    }
  });
});

describeOnSqlite('impossible cluster names', () => {
  it('an impossible name is not looked up in the database', async () => {
    const parameters = vi.spyOn(SqliteConnection.prototype, 'queryRaw');
    const { data, errors } = await app.graphql(
      'query ($name: String!, $names: [String!]!) { cluster(by: { name: $name }) { id } clusters(filter: { names: $names }) { totalCount } }',
      { name: long.slice(0, 100_000), names: Array(900).fill('y'.repeat(1_000)) },
    );
    expect(errors).toBeUndefined();
    expect(data).toEqual({ cluster: null, clusters: { totalCount: 0 } });
    expect(parameters.mock.calls.every((call) => JSON.stringify(call).length < 10_000)).toBe(true);
  });

  it('the audit log rejects an impossible name in each of its text filters', async () => {
    for (const filter of [{ actor: long }, { action: long }, { outcome: long }, { cluster: { name: long } }]) {
      const { errors } = await app.graphql(
        'query ($filter: AuditFilter) { auditLog(filter: $filter) { edges { cursor } } }',
        { filter },
      );
      expect(errors?.[0].extensions.code).toBe('INVALID_INPUT');
      expect(errors?.[0].message).toContain('must be at most 253 characters');
    }
  });

  it('a name is sent to the database once, however often a filter repeats it', async () => {
    const parameters = vi.spyOn(SqliteConnection.prototype, 'queryRaw');
    await app.graphql('query ($filter: ClusterFilter) { clusters(filter: $filter) { nodes { id } } }', {
      filter: { names: Array(900).fill('same'), states: Array(9_000).fill('READY') },
    });
    expect(parameters.mock.calls.every((call) => JSON.stringify(call).length < 5_000)).toBe(true);
  });
});
