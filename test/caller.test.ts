import { isObjectType } from 'graphql';
import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from 'vitest';
import type { Action } from '../src/domain/access/action.ts';
import { Caller } from '../src/domain/access/caller.ts';
import type { changeAccess } from '../src/domain/access/change-access.ts';
import { findAuthorized } from '../src/domain/access/clusters.ts';
import { type AuthorizedCaller, requireActionOnAll, requireActionOnSome } from '../src/domain/access/permissions.ts';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { apiKeyViewerId, parseViewerId, systemViewerId, userViewerId } from '../src/domain/access/viewer-id.ts';
import type { changeCluster, changeRegistry } from '../src/domain/registry-change.ts';
import { schema } from '../src/graphql/schema.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

describe('a permission', () => {
  it('is demanded as evidence by every write, so that an unchecked caller does not compile', () => {
    expectTypeOf<Caller>().not.toExtend<AuthorizedCaller<'SOME' | 'ALL' | 'OWN'>>();
    expectTypeOf<Parameters<typeof changeRegistry>[1]>().toEqualTypeOf<AuthorizedCaller<'ALL'>>();
    expectTypeOf<Parameters<typeof changeCluster>[1]>().toEqualTypeOf<AuthorizedCaller<'SOME'>>();
    expectTypeOf<Parameters<typeof changeAccess>[1]>().toEqualTypeOf<AuthorizedCaller<'ALL' | 'OWN'>>();
    expectTypeOf(requireActionOnAll).returns.toEqualTypeOf<AuthorizedCaller<'ALL'>>();
    expectTypeOf(requireActionOnSome).returns.toEqualTypeOf<AuthorizedCaller<'SOME'>>();
  });

  it('for some clusters is no evidence for a change that concerns every cluster', () => {
    expectTypeOf<AuthorizedCaller<'SOME'>>().not.toExtend<AuthorizedCaller<'ALL'>>();
    expectTypeOf<AuthorizedCaller<'OWN'>>().not.toExtend<AuthorizedCaller<'ALL'>>();
  });

  const of = (action: Action, clusters?: object) =>
    new Caller({
      viewer: {
        kind: 'API_KEY',
        id: 'api-key:1',
        name: 'x',
        roles: [],
        grants: [{ actions: new Set([action]), clusters }],
      },
    });

  it.each([
    [() => requireActionOnAll(of('clusters.read'), 'clusters.create'), 'requires CLUSTERS_CREATE on every cluster'],
    [
      () => requireActionOnAll(of('clusters.update', {}), 'clusters.update'),
      'requires CLUSTERS_UPDATE on every cluster',
    ],
    [() => requireActionOnSome(of('clusters.read'), 'clusters.delete'), 'requires CLUSTERS_DELETE'],
    [() => requireActionOnAll(of('clusters.read'), 'access.manage'), 'requires ACCESS_MANAGE'],
    [() => requireActionOnSome(of('clusters.read'), 'rest.use'), 'Admin role required'],
  ])('names the missing action (%#)', (check, message) => {
    expect(check).toThrow(expect.objectContaining({ code: 'FORBIDDEN', message }));
  });

  it('that is missing on a cluster that the caller may read is named with the cluster', async () => {
    expect((await app.rest('POST', CLUSTERS, { name: 'shop', enabled: false })).status).toBe(201);
    const { prisma } = app.domain.database;
    const { id: databaseId } = await prisma.cluster.findFirstOrThrow({ where: { name: 'shop' } });
    const grants = [
      { actions: new Set<Action>(['clusters.read']) },
      { actions: new Set<Action>(['clusters.delete']), clusters: { name: 'another' } },
    ];
    const caller = new Caller({ viewer: { kind: 'API_KEY', id: 'api-key:1', name: 'x', roles: [], grants } });
    await expect(findAuthorized(prisma, caller, 'clusters.delete', { databaseId })).rejects.toMatchObject({
      code: 'FORBIDDEN',
      message: 'requires CLUSTERS_DELETE on this cluster',
    });
    await expect(findAuthorized(prisma, caller, 'clusters.delete', { name: 'none' })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });
});

describe('a caller', () => {
  it('that cannot be authenticated again keeps its permissions', async () => {
    const caller = systemCaller('prober');
    expect(await caller.refresh()).toBe(caller);
  });

  it('is refreshed with the current viewer, and keeps the request', async () => {
    const authenticate = async () => null;
    const { viewer } = systemCaller('prober');
    const caller = new Caller({ viewer, requestId: 'r', address: '203.0.113.7', authenticate });
    expect(await caller.refresh()).toMatchObject({ viewer: null, requestId: 'r', address: '203.0.113.7' });
  });
});

describe('the id of a viewer', () => {
  it('is parsed as it is written', () => {
    expect(parseViewerId(userViewerId(7))).toEqual({ kind: 'USER', id: 7 });
    expect(parseViewerId(apiKeyViewerId(3))).toEqual({ kind: 'API_KEY', id: 3 });
    for (const text of [systemViewerId('prober'), 'stranger', 'user:', 'user:07', 'user:1x', 'user:99999999999', ''])
      expect(parseViewerId(text)).toBeUndefined();
  });
});

it('viewer is the only root field that is declared open to anonymous callers', () => {
  const roots = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()];
  const open = roots.filter(isObjectType).flatMap((type) =>
    Object.values(type.getFields())
      .filter(({ extensions }) => extensions.openToAnonymous === true)
      .map(({ name }) => name),
  );
  expect(open).toEqual(['viewer']);
});
