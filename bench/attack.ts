import { Agent, type IncomingMessage, request } from 'node:http';
import type { HttpRequest } from './client.ts';

/** The outcome of an attack. */
export interface Outcome {
  /** The HTTP statuses with GraphQL's error codes, such as `200 ×48, 429 ×2`. */
  readonly answered: string;
  /** The size of all response bodies. */
  readonly bytes: number;
  /** A remark that the report prints beside the result. */
  readonly note?: string;
}

/** The number of bytes at the start of a response that are searched for an error code. GraphQL puts errors first. */
const HEAD = 4_096;

/** Sends all requests at the same time, each on its own connection. */
export async function sendAll(url: string, requests: readonly HttpRequest[], signal: AbortSignal): Promise<Outcome> {
  const agent = new Agent({ maxSockets: Number.POSITIVE_INFINITY });
  try {
    const responses = await Promise.all(requests.map((httpRequest) => send(url, httpRequest, { agent, signal })));
    return { answered: tally(responses.map(({ status }) => status)), bytes: sum(responses.map(({ bytes }) => bytes)) };
  } finally {
    agent.destroy();
  }
}

/** Counts equal texts, such as `200 ×48, 429 ×2`. */
export function tally(texts: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return Array.from(counts, ([text, count]) => (count === 1 ? text : `${text} ×${count}`)).join(', ');
}

function send(
  url: string,
  { method, path, headers, body = '' }: HttpRequest,
  { agent, signal }: { agent: Agent; signal: AbortSignal },
): Promise<{ status: string; bytes: number }> {
  return new Promise((resolve) => {
    const failed = (error: Error) =>
      resolve({
        status: signal.aborted ? 'no response' : `cut off (${'code' in error ? error.code : error.name})`,
        bytes: 0,
      });
    const length = body === '' ? {} : { 'Content-Length': Buffer.byteLength(body) };
    const clientRequest = request(`${url}${path}`, { method, agent, signal, headers: { ...headers, ...length } });
    clientRequest.once('error', failed);
    clientRequest.once('response', (response) => {
      response.once('error', failed);
      count(response, (bytes, code) => resolve({ status: `${response.statusCode}${code ? ` ${code}` : ''}`, bytes }));
    });
    clientRequest.end(body);
  });
}

function count(response: IncomingMessage, done: (bytes: number, code: string | undefined) => void): void {
  let [bytes, head] = [0, ''];
  response.on('data', (chunk: Buffer) => {
    if (head.length < HEAD) head += chunk.toString('latin1', 0, HEAD);
    bytes += chunk.length;
  });
  response.once('end', () => done(bytes, head.includes('"errors":') ? /"code":"(\w+)"/.exec(head)?.[1] : undefined));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
