import { request } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { startApp, type TestApp } from './app.ts';
import { onTestFinished } from './running-test.ts';

/** Starts a server with an empty registry, and closes it when the test finishes. */
export async function freshApp(environment: Record<string, string> = {}): Promise<TestApp> {
  const app = await startApp(environment);
  onTestFinished(() => app.close());
  return app;
}

/** Starts another replica over the registry of the first, and closes it when the test finishes. */
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
  /** Exactly these headers; a `Host` is sent only if it is listed here. */
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  /** Sends the body without a Content-Length. */
  readonly chunked?: boolean;
}

export interface WireAnswer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly text: string;
}

/** Sends requests that fetch cannot send: a custom Host, headers that browsers control, a chunked body. */
export function send(app: TestApp, { method = 'GET', path, headers: extraHeaders = {}, body, chunked }: WireRequest) {
  const { hostname, port } = new URL(app.url);
  return new Promise<WireAnswer>((resolve, reject) => {
    const named = Object.keys(extraHeaders).some((name) => name.toLowerCase() === 'host');
    const length = chunked || body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
    const headers = { ...extraHeaders, ...length };
    const sent = request({ host: hostname, port, method, path, agent: false, setHost: !named, headers });
    sent.once('error', reject);
    sent.once('response', async (response) => {
      resolve({ status: response.statusCode ?? 0, headers: response.headers, text: await text(response) });
    });
    if (!chunked) sent.end(body);
    else sent.write(body ?? '', () => sent.end());
  });
}

/** Sends raw bytes and returns everything that is received until the server closes the connection. */
export async function sendBytes(app: TestApp, bytes: string): Promise<string> {
  const { hostname, port } = new URL(app.url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.write(bytes);
  return text(socket);
}

/** Subscribes over server-sent events; the stream is open once this resolves. */
export function subscribe(app: TestApp, query: string, headers: Record<string, string>): Promise<Response> {
  return fetch(`${app.url}/graphql`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'text/event-stream', ...headers },
    body: JSON.stringify({ query }),
  });
}

/** Reads an event stream to its end and returns its results. */
export async function resultsOf(stream: Response): Promise<unknown[]> {
  const data = (await stream.text()).matchAll(/^data: (\{.*)$/gm);
  return [...data].map(([, result = '']) => JSON.parse(result));
}
