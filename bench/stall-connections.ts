import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Browser, startOpenIdProvider } from '../test/support/open-id-provider.ts';
import { type Outcome, sendAll, tally } from './attack.ts';
import { call, type HttpRequest } from './client.ts';
import { CLUSTERS, rest } from './requests.ts';
import type { Scenario } from './scenario.ts';
import type { ServerUnderTest } from './server-under-test.ts';
import { descriptionsOf, withDescriptions } from './stall-documents.ts';

/**
 * The attacker's address. It differs from the address of the health checks, so that limits per address do not affect
 * them.
 */
const ATTACKER = '127.0.0.2';
const CONNECTIONS = 4_150;
/** Requests that one connection sends without reading a response. */
const PIPELINED = 100;
const HOLD_MS = 15_000;

/** Opens connections that send requests but never read the responses. */
function unreadConnections(
  count: number,
  textOf: (server: ServerUnderTest, number: number) => Promise<string> | string,
  options = {},
): Scenario['prepare'] {
  return async ({ start }) => {
    const server = await start(options);
    const port = Number(new URL(server.url).port);
    const attack = async (_times: number, signal: AbortSignal): Promise<Outcome> => {
      const ends: string[] = [];
      const sockets: Socket[] = [];
      const before = countSockets(server);
      for (let number = 0; number < count && !signal.aborted; number++) {
        const text = await textOf(server, number);
        const socket = connect({ host: '127.0.0.1', port, localAddress: ATTACKER });
        socket.pause().write(text);
        socket.once('error', ({ message }) => ends.push(/\bE[A-Z]+\b/.exec(message)?.[0] ?? 'error'));
        sockets.push(socket);
        // Pauses because the kernel's queue of new connections is short.
        if (number % 50 === 49) await sleep(5);
      }
      await sleep(HOLD_MS, undefined, { signal }).catch(() => undefined);
      const open = countSockets(server) - before;
      for (const socket of sockets) socket.destroy();
      return {
        answered: `${open} of ${count} still open in the server`,
        bytes: 0,
        ...(ends.length > 0 && { note: tally(ends) }),
      };
    };
    return { server, attack };
  };
}

/** Counts the open sockets of a server. A client that does not read is not told that its connection was closed. */
function countSockets({ pid }: ServerUnderTest): number {
  const directory = `/proc/${pid}/fd`;
  const isSocket = (name: string) => {
    try {
      return readlinkSync(`${directory}/${name}`).startsWith('socket:');
    } catch {
      // It was closed meanwhile.
      return false;
    }
  };
  return readdirSync(directory).filter(isSocket).length;
}

/** Serialises a request as HTTP/1.1. */
function serialize({ method, path, headers, body = '' }: HttpRequest): string {
  const fields = Object.entries({ ...headers, Host: '127.0.0.1', 'Content-Length': String(Buffer.byteLength(body)) });
  return `${method} ${path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`;
}

/** The path of the first script on GraphiQL's page. */
async function publicAsset({ url }: ServerUnderTest): Promise<string> {
  const page = await call(url, { method: 'GET', path: '/graphql', headers: { Accept: 'text/html' } });
  const [path] = /\/graphql\/assets\/[\w.-]+\.js/.exec(page.body.toString()) ?? [];
  if (path === undefined) throw new Error('GraphiQL has no script');
  return path;
}

const assets = new WeakMap<ServerUnderTest, Promise<string>>();
async function pipelinedAsset(server: ServerUnderTest): Promise<string> {
  if (!assets.has(server)) assets.set(server, publicAsset(server));
  return serialize({ method: 'GET', path: await (assets.get(server) as Promise<string>), headers: {} }).repeat(
    PIPELINED,
  );
}

const CALLBACKS = 1_054;

/**
 * Sends callbacks of started sign-ins, each with a code that the provider does not know, while an admin creates
 * clusters.
 */
const callbacks: Scenario['prepare'] = async ({ start }) => {
  const provider = await startOpenIdProvider();
  const server = await start({ environment: provider.environment });
  const requests: HttpRequest[] = [];
  for (let number = 0; number < CALLBACKS; number++) {
    const browser = new Browser();
    const { status, text } = await browser.get(`${server.url}/api/auth/login`);
    // The server may limit the sign-ins per address. The attack then uses the ones that it could start.
    if (status !== 200) break;
    const state = new URL((JSON.parse(text) as { auth_url: string }).auth_url).searchParams.get('state') ?? '';
    const cookies = Array.from(browser.cookies(server.url), ([name, value]) => `${name}=${value}`).join('; ');
    const path = `/api/auth/callback?code=made-up-${number}&state=${encodeURIComponent(state)}&iss=${encodeURIComponent(provider.issuer)}`;
    requests.push({ method: 'GET', path, headers: { Cookie: cookies } });
  }
  let created = 0;
  const create = async () => {
    const start = performance.now();
    await call(server.url, rest('POST', CLUSTERS, { name: `created-${++created}`, enabled: false }));
    return Math.round(performance.now() - start);
  };
  await create();
  const alone = await create();
  const attack = async (_times: number, signal: AbortSignal): Promise<Outcome> => {
    let isOver = false;
    const attacked = sendAll(server.url, requests, signal).finally(() => {
      isOver = true;
    });
    const meanwhile: number[] = [];
    while (!isOver) meanwhile.push(await create());
    const note = `${requests.length} callbacks; a create took ${alone} ms alone, at most ${Math.max(...meanwhile)} ms meanwhile`;
    return { ...(await attacked), note };
  };
  return { server, attack, stop: provider.stop };
};

const LATENCY_MS = 150;
/** Milliseconds between a response and the proxy's next request. */
const IDLE_MS = 5_800;

/** A proxy with a high latency to the server reuses a keep-alive connection for a PUT after 5.8 s. */
const idleConnection: Scenario['prepare'] = async ({ start }) => {
  const server = await start();
  const relay = createServer((near) => {
    const far = connect({ host: '127.0.0.1', port: Number(new URL(server.url).port) });
    delay(near, far);
    delay(far, near);
  }).listen(0, '127.0.0.1');
  await once(relay, 'listening');
  const { port } = relay.address() as AddressInfo;
  const attack = async (): Promise<Outcome> => {
    const socket = connect({ host: '127.0.0.1', port }).on('error', () => {});
    const statuses: string[] = [];
    for (const pause of [IDLE_MS, 0]) {
      socket.write(serialize(rest('PUT', `${CLUSTERS}1`, { description: `after ${pause}` })));
      const [response] = (await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => [''])])) as [
        Buffer,
      ];
      statuses.push(/^HTTP\/1\.1 (\d+)/.exec(response.toString())?.[1] ?? 'lost');
      await sleep(pause);
    }
    socket.destroy();
    return { answered: statuses.join(', then '), bytes: 0 };
  };
  return { server, attack, stop: async () => relay.close() };
};

/** Forwards the bytes and the end of a connection after LATENCY_MS. */
function delay(from: Socket, to: Socket): void {
  from.on('data', (chunk) => setTimeout(() => to.writable && to.write(chunk), LATENCY_MS));
  from.on('close', () => setTimeout(() => to.destroy(), LATENCY_MS));
  from.on('error', () => {});
}

/** Scenarios of connections rather than of single requests. */
export const CONNECTION_SCENARIOS: readonly Scenario[] = [
  {
    row: 11,
    what: `${CONNECTIONS} connections pipeline a public asset, unread`,
    prepare: unreadConnections(CONNECTIONS, pipelinedAsset),
  },
  {
    row: 11,
    what: '12 unread responses of 95 aliases × 100 descriptions',
    prepare: unreadConnections(
      12,
      ({ keys }, number) => serialize(descriptionsOf(keys.viewer, number)),
      withDescriptions,
    ),
  },
  { row: 18, what: `${CALLBACKS} OpenID Connect callbacks`, prepare: callbacks },
  { row: 22, what: 'a PUT 5.8 s after another, 150 ms latency', prepare: idleConnection },
];
