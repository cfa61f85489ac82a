import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openDomain } from '../src/app.ts';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { openLog } from '../src/log.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { itOnSqlite } from './support/database.ts';
import { kubeconfig } from './support/kubeconfigs.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

interface Listed {
  readonly id: number;
  readonly name: string;
  readonly description: string;
  readonly isDefault: boolean;
}

const config = kubeconfig();
const list = async () => (await app.rest('GET', CLUSTERS)).body as Listed[];
const create = (name: string, more: object = {}) => app.rest('POST', CLUSTERS, { name, config, ...more });
const update = (id: number, body: object) => app.rest('PUT', `${CLUSTERS}${id}`, body);
const all = <T>(count: number, make: (index: number) => Promise<T>) =>
  Promise.all(Array.from({ length: count }, (_, i) => make(i)));

const UPDATE = `mutation ($input: UpdateClusterInput!) { updateCluster(input: $input) {
  __typename ... on UpdateClusterSuccess { cluster { revision } } ... on Error { code } } }`;
const REVISION = 'query ($id: Int!) { cluster(by: { databaseId: $id }) { revision } }';

const revisionOf = async (id: number): Promise<number> => (await app.graphql(REVISION, { id })).data.cluster.revision;

describe('a hundred concurrent requests', () => {
  it('of 100 concurrent creates with one name, one succeeds and the others get 409', async () => {
    const answers = await all(100, () => create('wanted by all'));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(99).fill(409)]);
    expect((await list()).filter(({ name }) => name === 'wanted by all')).toHaveLength(1);
  });

  it('100 concurrent updates of one cluster all succeed and each raises the revision', async () => {
    const { id } = (await create('updated')).body;
    const answers = await all(100, (index) => update(id, { description: `text ${index}` }));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(await revisionOf(id)).toBe(101);
  });

  it('of 100 concurrent updates with the same expected revision, one succeeds and the others are refused', async () => {
    const { id } = (await create('contested')).body;
    const answers = await all(100, (index) => {
      const input = { by: { databaseId: id }, description: `text ${index}`, expectedRevision: 1 };
      return app.graphql(UPDATE, { input });
    });
    const results = answers.map(({ status, data }) => [status, data.updateCluster.__typename].join(' '));
    expect(results.filter((result) => result === '200 UpdateClusterSuccess')).toHaveLength(1);
    expect(results.filter((result) => result === '200 RevisionConflictError')).toHaveLength(99);
    const won = answers.findIndex(({ data }) => data.updateCluster.__typename === 'UpdateClusterSuccess');
    expect((await list()).find((cluster) => cluster.id === id)?.description).toBe(`text ${won}`);
    expect(await revisionOf(id)).toBe(2);
  });

  it('20 concurrent read-modify-write cycles lose no update if they retry after a revision conflict', async () => {
    const { id } = (await create('counted', { description: '0' })).body;
    const raise = async (): Promise<void> => {
      for (;;) {
        const query = 'query ($id: Int!) { cluster(by: { databaseId: $id }) { revision description } }';
        const { revision, description } = (await app.graphql(query, { id })).data.cluster;
        const input = {
          by: { databaseId: id },
          description: String(Number(description) + 1),
          expectedRevision: revision,
        };
        const { data } = await app.graphql(UPDATE, { input });
        if (data.updateCluster.__typename === 'UpdateClusterSuccess') return;
        expect(data.updateCluster.code).toBe('REVISION_CONFLICT');
      }
    };
    await all(20, raise);
    expect((await list()).find((cluster) => cluster.id === id)?.description).toBe('20');
  });

  it('there is never more than one default cluster while 100 requests switch it', async () => {
    const ids = (await all(20, (index) => create(`candidate ${index}`))).map(({ body }) => body.id as number);
    let switching = true;
    const watch = async () => {
      let watched = 0;
      for (; switching; watched++) expect((await list()).filter(({ isDefault }) => isDefault).length).toBeLessThan(2);
      return watched;
    };
    const watching = Promise.all([watch(), watch()]);
    const answers = await all(100, (index) => update(ids[index % 20] ?? 0, { isDefault: true }));
    switching = false;
    expect((await watching).every((watched) => watched > 0)).toBe(true);
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect((await list()).filter(({ isDefault }) => isDefault)).toHaveLength(1);
  });

  it('mixed concurrent writes leave at most one default, never return 500, and write one audit record per revision', async () => {
    const ids = (await all(25, (index) => create(`mixed ${index}`))).map(({ body }) => body.id as number);
    const attempts = await all(100, (index) => {
      const id = ids[index % 25] ?? 0;
      switch (index % 4) {
        case 0:
          return create(`made ${index % 40}`, { isDefault: index % 8 === 0 });
        case 1:
          return update(id, { description: `at ${index}`, ...(index % 8 === 1 ? { name: `mixed ${index % 7}` } : {}) });
        case 2:
          return update(id, { isDefault: index % 3 !== 0 });
        default:
          return app.rest('DELETE', `${CLUSTERS}${id}`);
      }
    });
    for (const { status, body } of attempts) {
      expect([200, 201, 400, 404, 409]).toContain(status);
      if (status === 400) expect(body.error).toBe('cannot delete default cluster');
    }
    const left = await list();
    expect(left.filter(({ isDefault }) => isDefault).length).toBeLessThanOrEqual(1);
    expect(new Set(left.map(({ name }) => name)).size).toBe(left.length);
    // Every change of a cluster adds one audit record, so their number equals the revision.
    const { prisma } = app.domain.database;
    for (const { uid, revision } of await prisma.cluster.findMany())
      expect(await prisma.auditRecord.count({ where: { clusterUid: uid } })).toBe(revision);
  });
});

describe('concurrent imports, servers and starts', () => {
  it('of two concurrent imports into an empty registry, one succeeds and the other is refused', async () => {
    const empty = await startApp();
    try {
      const body = { config: kubeconfig(), inCluster: false };
      const answers = await Promise.all([1, 2].map(() => empty.rest('POST', `${CLUSTERS}import`, body)));
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 403]);
      expect((await empty.rest('GET', CLUSTERS)).body).toHaveLength(1);
    } finally {
      await empty.close();
    }
  });

  it("two servers over one database see each other's writes in the next request", async () => {
    const other = await startApp({ DATA_DIR: app.dataDir });
    try {
      const { id } = (await create('shared')).body;
      for (let round = 0; round < 20; round++) {
        const description = `round ${round}`;
        await (round % 2 === 0 ? app : other).rest('PUT', `${CLUSTERS}${id}`, { description });
        for (const server of [app, other]) {
          const { body } = await server.rest('GET', CLUSTERS);
          expect((body as Listed[]).find((cluster) => cluster.id === id)?.description).toBe(description);
        }
      }
      const { text } = await other.domain.apiKeys.create(systemCaller('command line'), { name: 'x', roles: ['admin'] });
      expect((await app.rest('GET', CLUSTERS, undefined, { Authorization: text })).status).toBe(200);
    } finally {
      await other.close();
    }
  });

  itOnSqlite('three concurrent starts over one directory create one key file and one first API key', async () => {
    const { dataDir, config: given } = app;
    const fresh = { ...given, dataDir: `${dataDir}/fresh`, database: { file: `${dataDir}/fresh/kitestring.db` } };
    const log = await openLog({ level: 'silent', pretty: false });
    const domains = await Promise.all([1, 2, 3].map(() => openDomain(fresh, log)));
    const keys: string[] = [];
    await Promise.all(
      domains.map(({ apiKeys }) =>
        apiKeys.ensureFirst(systemCaller('configuration'), async (text) => {
          keys.push(text);
        }),
      ),
    );
    expect(keys).toHaveLength(1);
    expect(new Set(domains.map(({ seal }) => seal.keyId)).size).toBe(1);
    await Promise.all(domains.map((domain) => domain.close()));
  });
});
