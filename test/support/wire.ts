import { request } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import { startApp, type TestApp } from './app.ts';

/** A server of the test's own, with an empty registry, closed after it. */
export async function freshApp(environment: Record<string, string> = {}): Promise<TestApp> {
  const app = await startApp(environment);
  onTestFinished(() => app.close());
  return app;
}

/** Another replica over the registry of the first, closed with the test. */
export async function replicaOf(
  { dataDir }: Pick<TestApp, 'dataDir'>,
  options: Parameters<typeof startApp>[1] = {},
): Promise<TestApp> {
  const app = await startApp({ DATA_DIR: dataDir }, options);
  onTestFinished(() => app.close());
  return app;
}

export interface WireRequest {
  readonly method?: string;
  readonly path: string;
  /** Exactly these; a `Host` only where it is named here. */
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  /** Sends the body without saying how long it is. */
  readonly chunked?: boolean;
}

export interface WireAnswer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly text: string;
}

/** Sends what fetch will not: a Host of one's own, headers that belong to the browser, a body in chunks. */
export function send(app: TestApp, { method = 'GET', path, headers: given = {}, body, chunked }: WireRequest) {
  const { hostname, port } = new URL(app.url);
  return new Promise<WireAnswer>((resolve, reject) => {
    const named = Object.keys(given).some((name) => name.toLowerCase() === 'host');
    const length = chunked || body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
    const headers = { ...given, ...length };
    const sent = request({ host: hostname, port, method, path, agent: false, setHost: !named, headers });
    sent.once('error', reject);
    sent.once('response', async (response) => {
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text: await text(response) });
    });
    if (!chunked) sent.end(body);
    else sent.write(body ?? '', () => sent.end());
  });
}

/** Sends bytes as they are and gives all that comes back until the server hangs up. */
export async function sendBytes(app: TestApp, bytes: string): Promise<string> {
  const { hostname, port } = new URL(app.url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.write(bytes);
  return text(socket);
}

/** Subscribes over server-sent events; the stream is open once its response is here. */
export function subscribe(app: TestApp, query: string, headers: Record<string, string>): Promise<Response> {
  return fetch(`${app.url}/graphql`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'text/event-stream', ...headers },
    body: JSON.stringify({ query }),
  });
}

/** Reads an event stream to its end: the results that came. */
export async function resultsOf(stream: Response): Promise<unknown[]> {
  const data = (await stream.text()).matchAll(/^data: (\{.*)$/gm);
  return [...data].map(([, result = '']) => JSON.parse(result));
}
