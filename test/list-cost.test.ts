import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemCaller } from '../src/domain/access/system-caller.ts';
import { PAGE_COST } from '../src/rest/list-cost.ts';
import { CostBudget } from '../src/server/cost-budget.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { clusterRow } from './support/cluster-row.ts';

const VISIBLE = '/api/v1/clusters';
const PAGES = 3;

let app: TestApp;
beforeEach(async () => {
  // Enough for two lists and a half.
  app = await startApp({ GRAPHQL_COST_PER_MINUTE: String(2.5 * PAGES * PAGE_COST) });
  await app.domain.database.write('registry', (tx) =>
    tx.cluster.createMany({ data: Array.from({ length: 700 }, (_, index) => clusterRow(`c${index}`)) }),
  );
});
afterEach(async () => {
  vi.restoreAllMocks();
  await app.close();
});

/** What is kept is forgotten, so that the next list is read. */
const change = () =>
  app.domain.database.write('registry', (tx) =>
    tx.cluster.updateMany({ where: { id: 1 }, data: { description: 'x' } }),
  );

describe('a REST list', () => {
  it.each([CLUSTERS, VISIBLE])('costs its caller each page of it, and is 429 before it is read: %s', async (path) => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const take = vi.spyOn(CostBudget.prototype, 'take');
    const statuses: number[] = [];
    for (let times = 0; times < 3; times++) {
      await change();
      const { status, headers, body } = await app.rest('GET', path);
      statuses.push(status);
      if (status === 429) {
        expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
        expect(body.error).toContain('cost too much');
      } else expect(body).toHaveLength(700);
    }
    vi.useRealTimers();
    expect(statuses).toEqual([200, 200, 429]);
    expect(take.mock.calls.map(([, cost]) => cost)).toEqual(Array(3).fill(PAGES * PAGE_COST));
  });

  it('costs nothing while its answer is kept', async () => {
    // From the third time on it is kept.
    for (let times = 0; times < 2; times++) await app.rest('GET', CLUSTERS);
    const take = vi.spyOn(CostBudget.prototype, 'take');
    for (let times = 0; times < 5; times++) expect((await app.rest('GET', CLUSTERS)).status).toBe(200);
    expect(take).not.toHaveBeenCalled();
  });

  it('costs a caller who may read a few clusters the pages of those', async () => {
    const caller = systemCaller('command line');
    await app.domain.roles.define(caller, {
      name: 'few',
      actions: ['clusters.read'],
      clusters: { names: ['c1*'] },
    } as never);
    const { text } = await app.domain.apiKeys.create(caller, { name: 'few', roles: ['few'] });
    const take = vi.spyOn(CostBudget.prototype, 'take');
    const { status, body } = await app.rest('GET', VISIBLE, undefined, { Authorization: text });
    expect([status, body.length]).toEqual([200, 111]);
    expect(take.mock.calls.map(([, cost]) => cost)).toEqual([PAGE_COST + 1_050]);
  });
});
