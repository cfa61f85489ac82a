import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { lengthOf } from './support/length.ts';

const PAGE = '{ viewer { name } clusters(first: 100) { totalCount nodes { databaseId name description revision } } }';
/** Updates of each of the four writers. */
const ROUNDS = lengthOf({ short: 40, long: 150 });

describe('cached responses', () => {
  let first: TestApp;
  let second: TestApp;

  beforeAll(async () => {
    first = await startApp();
    // Two servers over one file: each server sees the other's commits like commits of another process.
    second = await startApp({ DATA_DIR: first.dataDir });
    for (let index = 1; index <= 8; index++)
      expect((await first.rest('POST', CLUSTERS, { name: `cluster-${index}` })).status).toBe(201);
  });
  afterAll(async () => {
    await second.close();
    await first.close();
  });

  it("responses are never stale and never another caller's while four writers and many readers use two servers", async () => {
    const acknowledged = new Map<number, number>();
    const faults: string[] = [];
    let writing = true;

    const write = async (writer: number) => {
      const id = writer + 1;
      for (let round = 1; round <= ROUNDS; round++) {
        const server = round % 3 === 0 ? second : first;
        const { status } = await server.rest('PUT', `${CLUSTERS}${id}`, { description: `round ${round}` });
        if (status === 200) acknowledged.set(id, round);
        else faults.push(`update answered ${status}`);
      }
    };
    const checkRow = (where: string, floor: number | undefined, description: string) => {
      const seen = Number(description.replace('round ', '') || 0);
      if (seen < (floor ?? 0)) faults.push(`${where} showed round ${seen} after ${floor} was acknowledged`);
    };
    const readRest = async (server: TestApp) => {
      while (writing) {
        const floors = new Map(acknowledged);
        const { body } = await server.rest('GET', CLUSTERS);
        for (const { id, description } of body) checkRow('REST', floors.get(id), description);
      }
    };
    const readGraphQL = async (server: TestApp) => {
      while (writing) {
        const floors = new Map(acknowledged);
        const { data } = await server.graphql(PAGE);
        if (data.viewer.name !== 'test admin') faults.push(`the admin was answered as ${data.viewer.name}`);
        for (const { databaseId, description } of data.clusters.nodes)
          checkRow('GraphQL', floors.get(databaseId), description);
      }
    };
    const readAsNobody = async (server: TestApp) => {
      while (writing) {
        const { data } = await server.graphql(PAGE, {}, { Authorization: server.keyWithoutRole });
        if (data.viewer.name !== 'test without role' || data.clusters.totalCount !== 0)
          faults.push('a key without a role was shown clusters');
        const stranger = await server.graphql(PAGE, {}, {});
        if (stranger.data?.clusters != null || stranger.data?.viewer != null) faults.push('a stranger was shown data');
        const listed = await server.rest('GET', CLUSTERS, undefined, { Authorization: server.keyWithoutRole });
        if (listed.status !== 403) faults.push(`the list for a key without a role has status ${listed.status}`);
      }
    };

    const readers = [first, second].flatMap((server) => [readRest(server), readGraphQL(server), readAsNobody(server)]);
    await Promise.all([0, 1, 2, 3].map(write));
    writing = false;
    await Promise.all(readers);
    expect(faults).toEqual([]);
    expect([...acknowledged.values()]).toEqual([ROUNDS, ROUNDS, ROUNDS, ROUNDS]);
  });

  it('a cached response has an ETag and is answered with 304 until something changes', async () => {
    for (let time = 0; time < 2; time++) await first.rest('GET', CLUSTERS);
    const { headers } = await first.rest('GET', CLUSTERS);
    const etag = headers.get('etag') ?? '';
    expect(headers.get('cache-control')).toBe('private, no-cache');
    const again = () => first.rest('GET', CLUSTERS, undefined, { Authorization: first.admin, 'If-None-Match': etag });
    expect(await again()).toMatchObject({ status: 304, text: '' });
    expect((await second.rest('PUT', `${CLUSTERS}1`, { description: 'another' })).status).toBe(200);
    expect(await again()).toMatchObject({ status: 200 });
  });

  it('a revocation by another process takes effect on the next request', async () => {
    const caller = systemCaller('command line');
    const { id, text } = await second.domain.apiKeys.create(caller, { name: 'short-lived', roles: ['admin'] });
    const list = () => first.rest('GET', CLUSTERS, undefined, { Authorization: text });
    // The third response comes from the cache, which the second request filled.
    for (let time = 0; time < 3; time++) expect(await list()).toMatchObject({ status: 200 });
    await second.domain.apiKeys.revoke(caller, id);
    expect(await list()).toMatchObject({ status: 401 });
  });

  it('probe results are never cached, and mutations are neither shared nor cached', async () => {
    const query = '{ clusters(first: 1) { nodes { status { observedAt } } } }';
    const answer = await fetch(`${first.url}/graphql?query=${encodeURIComponent(query)}`, {
      headers: { Authorization: first.admin },
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('etag')).toBeNull();

    const mutation = 'mutation { createCluster(input: { name: "twice", verify: NONE }) { __typename } }';
    const both = await Promise.all([first.graphql(mutation), first.graphql(mutation)]);
    expect(both.map(({ data }) => data.createCluster.__typename).sort()).toEqual([
      'CreateClusterSuccess',
      'NameTakenError',
    ]);
  });
});
