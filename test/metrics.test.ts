import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serveMetrics } from '../src/app.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { reportLeftOut } from './support/left-out.ts';
import { refusingPort } from './support/stand-in.ts';

let app: TestApp;
let port: number;
let stop: () => Promise<void>;
beforeAll(async () => {
  port = await refusingPort();
  app = await startApp({ METRICS_PORT: String(port) });
  stop = await serveMetrics(app.config, pino({ level: 'silent' }), app.domain);
  await app.rest('POST', CLUSTERS, { name: 'demo-cluster' });
  // The third request gets the response cached by the second.
  for (let time = 0; time < 3; time++) await app.rest('GET', CLUSTERS);
  await app.graphql('query AnyNameThatACallerMakesUp { clusters { totalCount } }');
});
afterAll(async () => {
  await stop();
  await app.close();
});

const scrape = async () => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
const charged = async () => Number(/^kitestring_charged_cost_total (\S+)$/m.exec(await scrape())?.[1]);

describe('the metrics', () => {
  it('the metrics count requests by REST route and GraphQL root field, including cached responses', async () => {
    const text = await scrape();
    expect(text).toContain(`request_duration_seconds_count{operation="GET ${CLUSTERS}",status="200"} 3`);
    expect(text).toContain(`request_duration_seconds_count{operation="POST ${CLUSTERS}",status="201"} 1`);
    expect(text).toContain('request_duration_seconds_count{operation="query clusters",status="200"} 1');
    expect(text).toContain('kitestring_nodejs_eventloop_lag_seconds');
    expect(text).not.toContain('AnyNameThatACallerMakesUp');
  });

  it('the metrics count the cost that documents are charged, including cached responses', async () => {
    const sendRequest = () => app.graphql('{ clusters { nodes { name } } }');
    // The first request also pays for parsing the document; from the third on the response is cached.
    await sendRequest();
    const before = await charged();
    await sendRequest();
    const cost = (await charged()) - before;
    expect(cost).toBeGreaterThan(0);
    for (let time = 0; time < 3; time++) await sendRequest();
    expect((await charged()) - before).toBe(4 * cost);
  });

  it('the metrics count the cost that the body of a REST request is charged', async () => {
    const before = await charged();
    const body = JSON.stringify({ unknown: 'x'.repeat(10 * 1_024) });
    expect((await app.rest('POST', CLUSTERS, body)).status).toBe(400);
    expect((await charged()) - before).toBe(10 * 10);
    expect(await scrape()).toContain(
      '# HELP kitestring_charged_cost_total Cost charged to callers for GraphQL documents and',
    );
  });

  it('the metrics count the cost of an import by its contexts', async () => {
    const kubeconfigOf = (names: string[]) =>
      JSON.stringify({
        clusters: [{ name: 'c', cluster: { server: 'https://10.0.0.1:6443' } }],
        users: [{ name: 'u', user: { token: 'secret' } }],
        contexts: names.map((name) => ({ name, context: { cluster: 'c', user: 'u' } })),
      });
    const names = Array.from({ length: 50 }, (_, index) => `imported-${index}`);
    const input = (count: number) => ({ kubeconfig: kubeconfigOf(names.slice(0, count)), dryRun: true });
    const costOf = async (count: number) => {
      const before = await charged();
      const query = 'mutation ($input: ImportClustersInput!) { importClusters(input: $input) { __typename } }';
      expect((await app.graphql(query, { input: input(count) })).data.importClusters.__typename).toBe(
        'ImportClustersSuccess',
      );
      return (await charged()) - before;
    };
    await costOf(1);
    const [one, fifty] = [await costOf(1), await costOf(50)];
    expect(fifty - one).toBeGreaterThanOrEqual(49 * 200);
  });

  it('the metrics show each cluster and its state', async () => {
    const text = await scrape();
    expect(text).toContain('kitestring_cluster_up{cluster="demo-cluster"} 0');
    expect(text).toContain('kitestring_cluster_state{cluster="demo-cluster",state="UNUSABLE"} 1');
    expect(text).toContain('kitestring_clusters{state="UNUSABLE"} 1');
  });

  it('the main port serves the metrics only to an admin key', async () => {
    const status = async (headers: Record<string, string>) =>
      (await app.rest('GET', '/metrics', undefined, headers)).status;
    expect(await status({})).toBe(401);
    expect(await status({ Authorization: app.keyWithoutRole })).toBe(403);
    expect(await status({ Authorization: app.admin })).toBe(200);
  });

  it('the metrics port serves nothing but the metrics', async () => {
    expect((await fetch(`http://127.0.0.1:${port}${CLUSTERS}`)).status).toBe(404);
  });
});

const prometheus = process.env.PROMETHEUS ?? 'prometheus';
const isThere = spawnSync(prometheus, ['--version']).status === 0;
if (!isThere) reportLeftOut('a real Prometheus reads the metrics (install the package prometheus)');

it.runIf(isThere)('a real Prometheus scrapes the metrics', async () => {
  const own = await refusingPort();
  const config = join(app.dataDir, 'prometheus.yml');
  await writeFile(
    config,
    `global: { scrape_interval: 200ms, scrape_timeout: 200ms }
scrape_configs: [{ job_name: kitestring, static_configs: [{ targets: ['127.0.0.1:${port}'] }] }]`,
  );
  const server = spawn(
    prometheus,
    [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(app.dataDir, 'tsdb')}`,
      `--web.listen-address=127.0.0.1:${own}`,
    ],
    { stdio: 'ignore' },
  );
  try {
    const sendRequest = async (): Promise<unknown> => {
      const url = `http://127.0.0.1:${own}/api/v1/query?query=${encodeURIComponent('kitestring_clusters{state="UNUSABLE"}')}`;
      const answer = await fetch(url).catch(() => undefined);
      return answer?.ok ? (await answer.json()).data.result[0]?.value[1] : undefined;
    };
    let value = await sendRequest();
    while (value === undefined) {
      await nextTurn();
      value = await sendRequest();
    }
    expect(value).toBe('1');
  } finally {
    const ended = once(server, 'exit');
    server.kill();
    await ended;
  }
});
