import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CLUSTERS } from './support/app.ts';
import { openChanges } from './support/changes.ts';
import { databaseOf, POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { freePort } from './support/free-port.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { reportLeftOut } from './support/left-out.ts';
import { atLoad } from './support/load.ts';
import { firstKey, type Running, startProcess } from './support/process.ts';
import { onTestFinished } from './support/running-test.ts';

const isThere = POSTGRES !== undefined && spawnSync('haproxy', ['-v']).status === 0;
if (POSTGRES !== undefined && !isThere) reportLeftOut('replicas behind HAProxy, which is not installed here');

/** The configuration from the documentation, for these replicas, on loopback and without TLS. */
function configurationFor(port: number, replicas: readonly Running[]): string {
  const text = readFileSync('docs/replicas.md', 'utf8');
  const shown = /## HAProxy in front\n\n((?: {4}.*\n|\n)+)/.exec(text)?.[1] ?? '';
  const names = ['one', 'two', 'three'];
  return names.reduce(
    (configuration, name, index) =>
      configuration.replace(
        new RegExp(`server ${name} +\\S+`),
        `server ${name} ${new URL(replicas[index]?.url ?? '').host}`,
      ),
    shown.replace(/^ {4}/gm, '').replace(/bind :443 ssl crt \S+/, `bind 127.0.0.1:${port}`),
  );
}

describe.runIf(isThere)('three replicas behind HAProxy', () => {
  it('HAProxy answers every read while one replica is killed and one is stopped, and no change is lost', {
    timeout: atLoad(120_000),
  }, async () => {
    const dataDir = await temporaryDirectory();
    const environment = { ...databaseOf(dataDir), TRUSTED_PROXIES: '127.0.0.1' };
    const start = async (directory: string) => startProcess({ dataDir: directory, environment });
    const replicas = [
      await start(dataDir),
      await start(await temporaryDirectory()),
      await start(await temporaryDirectory()),
    ];
    const key = await firstKey(dataDir);
    const port = await freePort();
    const file = join(dataDir, 'haproxy.cfg');
    await writeFile(file, configurationFor(port, replicas));
    const proxy = spawn('haproxy', ['-db', '-f', file], { stdio: 'inherit' });
    onTestFinished(() => void proxy.kill('SIGKILL'));
    const url = `http://127.0.0.1:${port}`;
    const sendRequest = (method: string, path: string, body?: object) =>
      fetch(`${url}${path}`, { method, headers: { Authorization: key }, ...(body && { body: JSON.stringify(body) }) });
    await expect.poll(async () => (await sendRequest('GET', CLUSTERS).catch(() => undefined))?.status).toBe(200);
    const query = encodeURIComponent('{ clusters { changesCursor } }');
    const begin = (await (await sendRequest('GET', `/graphql?query=${query}`)).json()) as {
      data: { clusters: { changesCursor: string } };
    };
    let cursor = begin.data.clusters.changesCursor;
    let stream = await openChanges({ url }, key, { after: cursor });

    let working = true;
    const [acknowledged, reads]: [string[], number[]] = [[], []];
    const reading = [1, 2].map(async () => {
      while (working) {
        const response = await sendRequest('GET', CLUSTERS);
        await response.arrayBuffer();
        reads.push(response.status);
      }
    });
    let names = 0;
    let unanswered = 0;
    const writing = Array.from({ length: 4 }, async () => {
      while (working) {
        const name = `c${++names}`;
        // A change in progress in the killed replica gets no response and is not sent again.
        const response = await sendRequest('POST', CLUSTERS, { name, config: kubeconfig(), enabled: false }).catch(
          () => null,
        );
        await response?.arrayBuffer();
        if (response?.status === 201) acknowledged.push(name);
        else unanswered++;
      }
    });
    const [killed, stopped, left] = replicas as [Running, Running, Running];
    const enough = (more: number) => expect.poll(() => acknowledged.length, { timeout: 30_000 }).toBeGreaterThan(more);
    await enough(10);
    killed.kill('SIGKILL');
    await enough(acknowledged.length + 40);
    // A stopped replica finishes the requests that it has started.
    unanswered = 0;
    expect((await stopped.stop()).code).toBe(0);
    await enough(acknowledged.length + 40);
    expect(unanswered).toBe(0);
    working = false;
    await Promise.all([...reading, ...writing]);
    expect(new Set(reads)).toEqual(new Set([200]));
    const listed = (await (await fetch(`${left.url}${CLUSTERS}`, { headers: { Authorization: key } })).json()) as {
      name: string;
    }[];
    expect(listed.map(({ name }) => name)).toEqual(expect.arrayContaining(acknowledged));
    // The stream belonged to one of the three replicas and may have ended with it: a reader that resumes from its
    // cursor misses nothing.
    const missing = new Set(acknowledged);
    while (missing.size > 0) {
      const change = await stream.next().catch(() => undefined);
      if (!change) stream = await openChanges({ url }, key, { after: cursor });
      else {
        expect(change.__typename).toBe('ClusterUpserted');
        cursor = change.cursor;
        missing.delete(change.cluster?.name ?? '');
      }
    }
    expect(left.output()).toContain('"path":"/api/v1/admin/clusters/"');
  });
});
