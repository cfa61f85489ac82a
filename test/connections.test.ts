import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { readInCluster, TOKEN_REUSE_MS } from '../src/kubernetes/kubeconfig/in-cluster.ts';
import { Connection } from '../src/kubernetes/transport/connection.ts';
import {
  Connections,
  type ConnectionsOptions,
  type OpenedCredential,
} from '../src/kubernetes/transport/connections.ts';
import { temporaryDirectory } from './support/directory.ts';
import { onTestFinished } from './support/running-test.ts';
import { answerWith, authority, standIn } from './support/stand-in.ts';

const policy = { allowLoopback: true };

/** The connections of a registry with one cluster. The test can change the credential of the cluster. */
async function oneCluster(options: Partial<ConnectionsOptions> = {}) {
  const server = await standIn(({ headers }, response) => answerWith(response, 200, { seen: headers.authorization }));
  const registry = {
    credential: { credentialsVersion: 1, target: server.target({ token: 'one' }) } as OpenedCredential | undefined,
    reads: 0,
  };
  const connections = new Connections({
    policy,
    openCredential: async () => {
      registry.reads += 1;
      if (!registry.credential) throw new Error('no such cluster');
      return registry.credential;
    },
    ...options,
  });
  onTestFinished(() => connections.close());
  const connectionAt = (credentialsVersion: number) => connections.of({ uid: 'a', credentialsVersion });
  const update = (credentialsVersion: number, token: string) => {
    registry.credential = { credentialsVersion, target: server.target({ token }) };
  };
  return { server, registry, connections, connectionAt, update };
}

describe('Connections', () => {
  test('a connection opens at first use and is shared afterwards', async () => {
    const { connectionAt, registry, server } = await oneCluster();
    expect(registry.reads).toBe(0);
    const [first, second] = await Promise.all([connectionAt(1), connectionAt(1)]);
    expect(second.connection).toBe(first.connection);
    expect((await connectionAt(1)).connection).toBe(first.connection);
    expect(registry.reads).toBe(1);
    expect(server.accepted()).toBe(0);
  });

  test('changed credentials replace the connection and close the old one', async () => {
    const { connectionAt, update, server } = await oneCluster();
    const old = await connectionAt(1);
    await old.connection.call('/version');
    update(2, 'two');
    const live = await connectionAt(2);
    expect(live.credentialsVersion).toBe(2);
    expect(await live.connection.read('/version')).toEqual({ seen: 'Bearer two' });
    await expect(old.connection.call('/version')).rejects.toMatchObject({ code: 'CLOSED' });
    await vi.waitUntil(() => server.sockets.size === 1);
  });

  test('callers with an older or newer credentials version get the current connection', async () => {
    const { connectionAt, update } = await oneCluster();
    update(2, 'two');
    const early = await connectionAt(1);
    expect(early.credentialsVersion).toBe(2);
    expect((await connectionAt(2)).connection).toBe(early.connection);
    expect((await connectionAt(1)).connection).toBe(early.connection);
    expect(await early.connection.read('/version')).toEqual({ seen: 'Bearer two' });
  });

  test('a connection that failed to open is not remembered', async () => {
    const { connectionAt, update, registry } = await oneCluster();
    registry.credential = undefined;
    await expect(connectionAt(1)).rejects.toThrow('no such cluster');
    update(1, 'one');
    expect((await connectionAt(1)).credentialsVersion).toBe(1);
  });

  test('a failed replacement closes the connection that it should have replaced', async () => {
    const { connectionAt, registry } = await oneCluster();
    const { connection } = await connectionAt(1);
    registry.credential = undefined;
    await expect(connectionAt(2)).rejects.toThrow();
    await expect(connection.call('/version')).rejects.toMatchObject({ code: 'CLOSED' });
  });

  test('the connection of a disabled or deleted cluster is closed, even while it opens', async () => {
    const { connectionAt, connections } = await oneCluster();
    const { connection } = await connectionAt(1);
    await Promise.all([connections.end('a'), connections.end('a'), connections.end('other')]);
    await expect(connection.call('/version')).rejects.toMatchObject({ code: 'CLOSED' });
    const opening = connectionAt(1);
    await connections.keepOnly(new Set(['other']));
    await expect((await opening).connection.call('/version')).rejects.toMatchObject({ code: 'CLOSED' });
    const again = await connectionAt(1);
    await connections.keepOnly(new Set(['a']));
    expect((await again.connection.call('/version')).status).toBe(200);
  });

  test('an idle connection is closed, and a busy one is not', async () => {
    const { connectionAt, server } = await oneCluster({ idleMs: 40 });
    const { connection } = await connectionAt(1);
    await connection.call('/version');
    await vi.waitUntil(() => server.sockets.size === 0);
    await expect(connection.call('/version')).rejects.toMatchObject({ code: 'CLOSED' });
    const slow = await standIn(() => {});
    const busy = new Connection({ target: slow.target(), policy });
    onTestFinished(() => busy.close());
    const call = busy.call('/version').catch(() => {});
    expect(busy.idleSince()).toBe(Number.POSITIVE_INFINITY);
    await busy.close();
    await call;
    expect(busy.idleSince()).toBeLessThanOrEqual(performance.now());
  });

  test('close ends all connections, and none can be opened afterwards', async () => {
    const { connectionAt, connections } = await oneCluster();
    const { connection } = await connectionAt(1);
    await Promise.all([connections.close(), connections.close()]);
    await expect(connection.call('/version')).rejects.toMatchObject({ code: 'CLOSED' });
    await expect(connectionAt(1)).rejects.toMatchObject({ code: 'CLOSED' });
  });
});

describe('readInCluster', () => {
  async function mounted() {
    const directory = join(await temporaryDirectory(), 'serviceaccount');
    await mkdir(directory);
    await writeFile(join(directory, 'token'), 'first\n');
    await writeFile(join(directory, 'ca.crt'), authority.certificate);
    await writeFile(join(directory, 'namespace'), 'kitestring');
    return directory;
  }

  test('the in-cluster target has the address, CA, namespace and token of the service account', async () => {
    const server = await standIn(({ headers }, response) => answerWith(response, 200, { seen: headers.authorization }));
    const environment = { host: '127.0.0.1', port: String(server.port), directory: await mounted() };
    const { target, token } = await readInCluster(environment);
    expect(target).toMatchObject({ server: server.server, namespace: 'kitestring' });
    const connection = new Connection({ target, token, policy });
    onTestFinished(() => connection.close());
    expect(await connection.read('/version')).toEqual({ seen: 'Bearer first' });
  });

  test('a rotated service account token is read again after a minute', async () => {
    const directory = await mounted();
    let now = 0;
    const { token } = await readInCluster({ host: '::1', port: '443', directory }, () => now);
    await writeFile(join(directory, 'token'), 'second');
    now = TOKEN_REUSE_MS - 1;
    expect(await token()).toBe('first');
    now = TOKEN_REUSE_MS;
    expect(await token()).toBe('second');
    await rm(join(directory, 'token'));
    now = 3 * TOKEN_REUSE_MS;
    await expect(async () => token()).rejects.toMatchObject({ code: 'NOT_IN_CLUSTER' });
  });

  test.each([
    ['https://[fd00::1]:443', 'fd00::1', '443'],
    ['https://10.96.0.1:6443', '10.96.0.1', '6443'],
    ['http://127.0.0.1:8001', '127.0.0.1', '8001'],
  ])('the in-cluster server URL is %s', async (server, host, port) => {
    const { target } = await readInCluster({ host, port, directory: await mounted() });
    expect(target.server).toBe(server);
  });

  test.each([
    [undefined, '443'],
    ['10.96.0.1', undefined],
    ['10.96.0.1/..', '443'],
  ])('host %s and port %s are not a cluster', async (host, port) => {
    const directory = await mounted();
    await expect(readInCluster({ host, port, directory })).rejects.toMatchObject({ code: 'NOT_IN_CLUSTER' });
  });

  test('without a mounted token there is no in-cluster credential', async () => {
    const environment = { host: '10.96.0.1', port: '443', directory: await temporaryDirectory() };
    await expect(readInCluster(environment)).rejects.toMatchObject({ code: 'NOT_IN_CLUSTER' });
  });
});
