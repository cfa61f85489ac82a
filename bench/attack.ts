import { Agent, type IncomingMessage, request } from 'node:http';
import type { Ask } from './client.ts';

/** How an attack was answered: statuses with GraphQL's error codes, the bytes of all answers, and more worth to be known. */
export interface Outcome {
  readonly answered: string;
  readonly bytes: number;
  readonly note?: string;
}

/** Bytes of an answer in which its error code is looked for: GraphQL puts errors first. */
const HEAD = 4_096;

/** Sends all requests at once, each on a connection of its own, and counts the bytes of the answers. */
export async function sendAll(url: string, asks: readonly Ask[], signal: AbortSignal): Promise<Outcome> {
  const agent = new Agent({ maxSockets: Number.POSITIVE_INFINITY });
  try {
    const answers = await Promise.all(asks.map((asked) => send(url, asked, { agent, signal })));
    return { answered: tally(answers.map(({ status }) => status)), bytes: sum(answers.map(({ bytes }) => bytes)) };
  } finally {
    agent.destroy();
  }
}

/** Equal texts with how often they come, such as `200 ×48, 429 ×2`. */
export function tally(texts: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return Array.from(counts, ([text, count]) => (count === 1 ? text : `${text} ×${count}`)).join(', ');
}

function send(
  url: string,
  { method, path, headers, body = '' }: Ask,
  { agent, signal }: { agent: Agent; signal: AbortSignal },
): Promise<{ status: string; bytes: number }> {
  return new Promise((resolve) => {
    const failed = (error: Error) =>
      resolve({
        status: signal.aborted ? 'no answer' : `cut off (${'code' in error ? error.code : error.name})`,
        bytes: 0,
      });
    const length = body === '' ? {} : { 'Content-Length': Buffer.byteLength(body) };
    const asking = request(`${url}${path}`, { method, agent, signal, headers: { ...headers, ...length } });
    asking.once('error', failed);
    asking.once('response', (response) => {
      response.once('error', failed);
      count(response, (bytes, code) => resolve({ status: `${response.statusCode}${code ? ` ${code}` : ''}`, bytes }));
    });
    asking.end(body);
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
