import { Agent, type IncomingMessage, request } from 'node:http';

/** A request to the product or the bare server. */
export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** A response as received. `headers` alternates names and values, as Node's `rawHeaders` does. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: Buffer;
}

// One connection to each server, kept alive.
const agent = new Agent({ keepAlive: true, maxSockets: 1, maxTotalSockets: 2 });

/** Sends a request over a keep-alive connection. */
export function call(url: string, { method, path, headers, body }: HttpRequest): Promise<HttpResponse> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
    const clientRequest = request(`${url}${path}`, { method, agent, headers: { ...headers, ...length } });
    clientRequest.once('error', reject).once('response', (response) => readResponse(response).then(resolve, reject));
    clientRequest.end(body);
  });
}

async function readResponse(response: IncomingMessage): Promise<HttpResponse> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return { status: response.statusCode ?? 0, headers: response.rawHeaders, body: Buffer.concat(chunks) };
}

/** Sends a request. Throws unless the response has a 2xx status and contains no GraphQL errors. */
export async function callOrThrow(url: string, httpRequest: HttpRequest): Promise<HttpResponse> {
  const response = await call(url, httpRequest);
  // GraphQL reports errors with status 200. No data of the benchmarks contains this text.
  if (response.status >= 200 && response.status < 300 && !response.body.includes('"errors":')) return response;
  throw new Error(`${httpRequest.method} ${httpRequest.path} answered ${response.status}: ${response.body.toString()}`);
}
