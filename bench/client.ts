import { Agent, type IncomingMessage, request } from 'node:http';

/** A request, as the product and the bare server are both sent it. */
export interface Ask {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** An answer as it came; its headers are names and values in turn. */
export interface Answer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Buffer;
}

// One connection to each server, kept alive.
const agent = new Agent({ keepAlive: true, maxSockets: 1, maxTotalSockets: 2 });

/** Asks over one connection, which is kept for the next request. */
export function ask(url: string, { method, path, headers, body }: Ask): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
    const asking = request(`${url}${path}`, { method, agent, headers: { ...headers, ...length } });
    asking.once('error', reject).once('response', (response) => readAnswer(response).then(resolve, reject));
    asking.end(body);
  });
}

async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode ?? 0, headers: response.rawHeaders, body: Buffer.concat(chunks) };
}

/** Asks, and fails unless the answer is a success, with no error in it; for what a bench relies on. */
export async function askWell(url: string, asked: Ask): Promise<Answer> {
  const answer = await ask(url, asked);
  // GraphQL tells of errors with status 200; nothing that is stored here holds the word.
  if (answer.status >= 200 && answer.status < 300 && !answer.body.includes('"errors":')) return answer;
  throw new Error(`${asked.method} ${asked.path} answered ${answer.status}: ${answer.body.toString()}`);
}
