import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Browser, startOpenIdProvider } from '../test/support/open-id-provider.ts';
import { type Outcome, sendAll, tally } from './attack.ts';
import { type Ask, ask } from './client.ts';
import { CLUSTERS, rest } from './questions.ts';
import type { Scenario } from './scenario.ts';
import type { ServerUnderTest } from './server-under-test.ts';
import { descriptionsOf, withDescriptions } from './stall-documents.ts';

/** The attacker's address: limits per address leave the one alone from which the bench asks for health. */
const ATTACKER = '127.0.0.2';
const CONNECTIONS = 4_150;
/** Requests that one connection sends without reading an answer. */
const PIPELINED = 100;
const HOLD_MS = 15_000;

/** Connections whose peer sends requests and never reads. */
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
      for (let number = 0; number < count && !signal.aborted; number++) {
        const text = await textOf(server, number);
        const socket = connect({ host: '127.0.0.1', port, localAddress: ATTACKER });
        socket.pause().write(text);
        socket.once('error', ({ message }) => ends.push(/\bE[A-Z]+\b/.exec(message)?.[0] ?? 'error'));
        sockets.push(socket);
        // The kernel's queue of new connections is short.
        if (number % 50 === 49) await sleep(5);
      }
      await sleep(HOLD_MS, undefined, { signal }).catch(() => undefined);
      const open = sockets.filter(({ readyState }) => readyState === 'open').length;
      for (const socket of sockets) socket.destroy();
      return { answered: `${open} of ${count} still open`, bytes: 0, ...(ends.length > 0 && { note: tally(ends) }) };
    };
    return { server, attack };
  };
}

/** One request as it goes over the wire. */
function wire({ method, path, headers, body = '' }: Ask): string {
  const fields = Object.entries({ ...headers, Host: '127.0.0.1', 'Content-Length': String(Buffer.byteLength(body)) });
  return `${method} ${path} HTTP/1.1\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`;
}

/** The path of the largest script of GraphiQL's page. */
async function publicAsset({ url }: ServerUnderTest): Promise<string> {
  const page = await ask(url, { method: 'GET', path: '/graphql', headers: { Accept: 'text/html' } });
  const [path] = /\/graphql\/assets\/[\w.-]+\.js/.exec(page.body.toString()) ?? [];
  if (path === undefined) throw new Error('GraphiQL has no script');
  return path;
}

const assets = new WeakMap<ServerUnderTest, Promise<string>>();
async function pipelinedAsset(server: ServerUnderTest): Promise<string> {
  if (!assets.has(server)) assets.set(server, publicAsset(server));
  return wire({ method: 'GET', path: await (assets.get(server) as Promise<string>), headers: {} }).repeat(PIPELINED);
}

const CALLBACKS = 1_054;

/** Callbacks of sign-ins that have begun, each with a code that the provider does not know; an admin creates a cluster meanwhile. */
const callbacks: Scenario['prepare'] = async ({ start }) => {
  const provider = await startOpenIdProvider();
  const server = await start({ environment: provider.environment });
  const asks: Ask[] = [];
  for (let number = 0; number < CALLBACKS; number++) {
    const browser = new Browser();
    const { status, text } = await browser.get(`${server.url}/api/auth/login`);
    // A server may limit how many sign-ins one address begins: the attack has those that it got.
    if (status !== 200) break;
    const state = new URL((JSON.parse(text) as { auth_url: string }).auth_url).searchParams.get('state') ?? '';
    const cookies = Array.from(browser.cookies(server.url), ([name, value]) => `${name}=${value}`).join('; ');
    const path = `/api/auth/callback?code=made-up-${number}&state=${encodeURIComponent(state)}&iss=${encodeURIComponent(provider.issuer)}`;
    asks.push({ method: 'GET', path, headers: { Cookie: cookies } });
  }
  let created = 0;
  const create = async () => {
    const began = performance.now();
    await ask(server.url, rest('POST', CLUSTERS, { name: `created-${++created}`, enabled: false }));
    return Math.round(performance.now() - began);
  };
  await create();
  const alone = await create();
  const attack = async (_times: number, signal: AbortSignal): Promise<Outcome> => {
    let isOver = false;
    const attacked = sendAll(server.url, asks, signal).finally(() => {
      isOver = true;
    });
    const meanwhile: number[] = [];
    while (!isOver) meanwhile.push(await create());
    const note = `${asks.length} callbacks; a create took ${alone} ms alone, at most ${Math.max(...meanwhile)} ms meanwhile`;
    return { ...(await attacked), note };
  };
  return { server, attack, stop: provider.stop };
};

const LATENCY_MS = 150;
/** So long after an answer the proxy sends its next request. */
const IDLE_MS = 5_800;

/** A proxy with a long way to the server keeps a connection, and sends a POST on it after 5.8 s. */
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
      socket.write(wire(rest('PUT', `${CLUSTERS}1`, { description: `after ${pause}` })));
      const [answer] = (await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => [''])])) as [Buffer];
      statuses.push(/^HTTP\/1\.1 (\d+)/.exec(answer.toString())?.[1] ?? 'lost');
      await sleep(pause);
    }
    socket.destroy();
    return { answered: statuses.join(', then '), bytes: 0 };
  };
  return { server, attack, stop: async () => relay.close() };
};

/** Passes bytes on, and the end of a connection, as late as the way is long. */
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
    what: '12 unread answers of 95 aliases × 100 descriptions',
    prepare: unreadConnections(12, ({ keys }, number) => wire(descriptionsOf(keys.viewer, number)), withDescriptions),
  },
  { row: 18, what: `${CALLBACKS} OpenID Connect callbacks`, prepare: callbacks },
  { row: 22, what: 'a POST 5.8 s after another, 150 ms away', prepare: idleConnection },
];
