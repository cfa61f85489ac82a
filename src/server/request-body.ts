import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib';
import type { Viewer } from '../domain/access/caller.ts';
import {
  BODY_BUDGET_EXCEEDED,
  HttpError,
  INCOMPLETE_BODY,
  memoryBudgetError,
  TOO_LARGE_BODY,
  TOO_MANY_CHUNKS,
  UNREADABLE_BODY,
} from '../http-error.ts';
import type { CostBudget } from './cost-budget.ts';
import type { HttpExchange } from './http-exchange.ts';
import { MAX_UNCOUNTED } from './memory-budget.ts';

/**
 * Cost per KiB of a body: reading and parsing takes about 5 µs per KiB, and 2,000 cost units are 1 ms. Bodies below 1
 * KiB are free.
 */
const COST_PER_KIB = 10;

/**
 * Bytes of a refused body that Node reads and drops, so that the client receives the response: a client that still writes to a closed
 * connection sees a broken pipe instead.
 */
const MAX_DRAINED = 64 * 1024 * 1024;

export interface BodyOptions {
  readonly maxBytes: number;
  /** Whether to decode a `Content-Encoding`. If false, an encoded body is rejected. */
  readonly decode: boolean;
  /** Counts bytes that the body occupies. Returns false if they exceed the caller's memory limit. */
  readonly grow: (bytes: number) => boolean;
  readonly shrink: (bytes: number) => void;
  /** Charges a cost to the caller. Returns the seconds to wait if the budget is too small. */
  readonly charge: (cost: number) => number | undefined;
}

/** Reads the body of a request, and charges its memory and cost to the caller. */
export function readBodyOf(
  exchange: HttpExchange,
  viewer: Viewer | null,
  { budget, ...options }: Pick<BodyOptions, 'maxBytes' | 'decode'> & { budget: CostBudget },
): Promise<Buffer<ArrayBuffer>> {
  const { request, client } = exchange;
  const holding = () => exchange.holding(viewer);
  return receiveBody(request, {
    ...options,
    grow: (bytes) => holding().grow(bytes),
    shrink: (bytes) => holding().shrink(bytes),
    charge: (cost) => budget.take({ viewer, address: client.address }, cost),
  });
}

/**
 * Reads a whole body into one buffer. Charges the received bytes to the caller, even if the body is rejected. Throws an
 * HttpError: 413 if the body is too large, 415 for an unsupported encoding, 400 if it is unreadable, 429 if the caller
 * is over the cost budget or the memory limit.
 */
export async function receiveBody(request: IncomingMessage, options: BodyOptions): Promise<Buffer<ArrayBuffer>> {
  const { maxBytes, charge } = options;
  if (!hasBody(request)) return Buffer.alloc(0);
  const decoder = decoderOf(request, options);
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > maxBytes) throw new HttpError(413, TOO_LARGE_BODY, { close: declared > MAX_DRAINED });
  const received = { bytes: 0 };
  let seconds: number | undefined;
  let body: Buffer<ArrayBuffer>;
  try {
    body = await collect(request, received, options);
    if (decoder && body.length > 0) body = await decode(decoder, body, options);
    received.bytes = Math.max(received.bytes, body.length);
  } finally {
    const cost = Math.floor(received.bytes / 1024) * COST_PER_KIB;
    if (cost > 0) seconds = charge(cost);
  }
  if (seconds !== undefined) throw new HttpError(429, BODY_BUDGET_EXCEEDED, { retryAfter: seconds });
  return body;
}

/**
 * Maximum chunks below `SMALL_CHUNK` bytes; `TOO_MANY_CHUNKS` mentions both numbers. Each chunk takes about 5 µs,
 * however small it is. Streaming clients send thousands of bytes per chunk.
 */
const MAX_SMALL_CHUNKS = 4_096;
const SMALL_CHUNK = 256;

/** Initial buffer, in bytes. Most bodies fit, and a body that is announced but never sent occupies no more. */
const FIRST_BUFFER = 64 * 1024;

function collect(
  request: IncomingMessage,
  received: { bytes: number },
  { maxBytes, grow }: BodyOptions,
): Promise<Buffer<ArrayBuffer>> {
  const declared = Number(request.headers['content-length'] ?? 0);
  return new Promise((resolve, reject) => {
    let body: Buffer<ArrayBuffer> = Buffer.alloc(0);
    let isRefused = false;
    let smallChunks = 0;
    const refuse = (refusal: HttpError) => {
      isRefused = true;
      body = Buffer.alloc(0);
      reject(refusal);
    };
    const makeRoom = (size: number): boolean => {
      const preferred =
        declared > 0 ? (size > FIRST_BUFFER ? declared : Math.min(declared, FIRST_BUFFER)) : 2 * body.length;
      const capacity = Math.min(maxBytes, Math.max(size, preferred));
      const before = body.length > MAX_UNCOUNTED ? body.length : 0;
      if (capacity > MAX_UNCOUNTED && !grow(capacity - before)) return false;
      const larger = Buffer.allocUnsafeSlow(capacity);
      body.copy(larger, 0, 0, received.bytes);
      body = larger;
      return true;
    };
    // Use events: `for await` over the stream takes longer than sending a cached response. After a rejection keep
    // reading and drop the data, so that a client that is still sending receives the response.
    request.on('data', (chunk: Buffer<ArrayBuffer>) => {
      if (isRefused) return;
      const size = received.bytes + chunk.length;
      if (size > maxBytes) return refuse(new HttpError(413, TOO_LARGE_BODY));
      if (chunk.length < SMALL_CHUNK && ++smallChunks > MAX_SMALL_CHUNKS)
        return refuse(new HttpError(400, TOO_MANY_CHUNKS, { close: true }));
      if (chunk.length === declared && size <= MAX_UNCOUNTED) body = chunk;
      else {
        if (size > body.length && !makeRoom(size)) return refuse(memoryBudgetError());
        chunk.copy(body, received.bytes);
      }
      received.bytes = size;
    });
    let isComplete = false;
    request.once('end', () => {
      isComplete = true;
      resolve(body.subarray(0, received.bytes));
    });
    // Every request is closed in the end: creating the error each time would take a tenth of a cached response.
    const rejectCut = () => isComplete || reject(new HttpError(400, INCOMPLETE_BODY));
    request.once('error', rejectCut);
    // A request that was cut off before we read its body emits no event.
    if (request.destroyed) rejectCut();
    else request.once('close', rejectCut);
  });
}

function hasBody({ headers, readableEnded }: IncomingMessage): boolean {
  return !readableEnded && (headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0);
}

const DECODERS = {
  gzip: promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
  zstd: promisify(zstdDecompress),
} as const;
type Decoder = (typeof DECODERS)[keyof typeof DECODERS];

const UNKNOWN_ENCODING =
  'the content encoding is not supported: send the body unencoded; authenticated REST requests may also use gzip, deflate, br or zstd';

function decoderOf({ headers }: IncomingMessage, { decode }: BodyOptions): Decoder | undefined {
  const encoding = headers['content-encoding']?.toLowerCase() ?? 'identity';
  if (encoding === 'identity') return undefined;
  if (!decode || !Object.hasOwn(DECODERS, encoding)) throw new HttpError(415, UNKNOWN_ENCODING);
  return DECODERS[encoding as keyof typeof DECODERS];
}

/** Decodes a body off the event loop, and stops at the limit: a body may expand to a thousand times its size. */
async function decode(
  decoder: Decoder,
  body: Buffer<ArrayBuffer>,
  { maxBytes, grow, shrink }: BodyOptions,
): Promise<Buffer<ArrayBuffer>> {
  if (!grow(maxBytes)) throw memoryBudgetError();
  try {
    const decoded = await decoder(body, { maxOutputLength: maxBytes, chunkSize: FIRST_BUFFER });
    shrink(maxBytes - decoded.length);
    return decoded as Buffer<ArrayBuffer>;
  } catch (error) {
    const isTooLarge = error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
    throw isTooLarge ? new HttpError(413, TOO_LARGE_BODY) : new HttpError(400, UNREADABLE_BODY);
  }
}
