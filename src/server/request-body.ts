import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib';
import type { Viewer } from '../domain/access/viewer.ts';
import {
  CUT_BODY,
  HttpError,
  OVER_BODY_BUDGET,
  overMemoryError,
  TOO_LARGE_BODY,
  TOO_MANY_CHUNKS,
  UNREADABLE_BODY,
} from '../http-error.ts';
import type { CostBudget } from './cost-budget.ts';
import type { HttpExchange } from './http-exchange.ts';
import { MAX_UNCOUNTED } from './memory-budget.ts';

/** Reading and parsing a body takes about 5 µs per KiB; the budget counts 2,000 for a millisecond. Smaller ones are free. */
const COST_PER_KIB = 10;

/**
 * Bytes of a refused body that Node reads and drops, so that the client receives the answer: a client that still writes to a closed
 * connection sees a broken pipe instead.
 */
const MAX_DRAINED = 64 * 1024 * 1024;

export interface BodyOptions {
  readonly maxBytes: number;
  /** Whether a `Content-Encoding` is undone; where it is not, a body that has one is refused. */
  readonly decode: boolean;
  /** Counts bytes that the body occupies; false when the caller may not hold them. */
  readonly grow: (bytes: number) => boolean;
  readonly shrink: (bytes: number) => void;
  /** Takes a cost from the caller's budget; the seconds to wait where that does not last. */
  readonly charge: (cost: number) => number | undefined;
}

/** Reads the body of a request on the account and the budget of its caller. */
export function readBodyOf(
  exchange: HttpExchange,
  viewer: Viewer | null,
  { budget, ...most }: Pick<BodyOptions, 'maxBytes' | 'decode'> & { budget: CostBudget },
): Promise<Buffer<ArrayBuffer>> {
  const { request, client } = exchange;
  const holding = () => exchange.holding(viewer);
  return receiveBody(request, {
    ...most,
    grow: (bytes) => holding().grow(bytes),
    shrink: (bytes) => holding().shrink(bytes),
    charge: (cost) => budget.take({ viewer, address: client.address }, cost),
  });
}

/**
 * Reads a body whole into one buffer, whatever the size of its chunks, and charges its bytes to the caller, also when
 * it is refused. An HttpError says why: 413 too large, 415 unknown encoding, 400 unreadable, 429 over budget or memory.
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
  if (seconds !== undefined) throw new HttpError(429, OVER_BODY_BUDGET, { retryAfter: seconds });
  return body;
}

/** `TOO_MANY_CHUNKS` tells both numbers. Each chunk costs some 5 µs, however small it is: clients that stream send thousands of bytes in one. */
const MAX_SMALL_CHUNKS = 4_096;
const SMALL_CHUNK = 256;

/** Bytes of the first buffer: most bodies fit, and one that is announced and never sent takes no more. */
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
      const least =
        declared > 0 ? (size > FIRST_BUFFER ? declared : Math.min(declared, FIRST_BUFFER)) : 2 * body.length;
      const capacity = Math.min(maxBytes, Math.max(size, least));
      const before = body.length > MAX_UNCOUNTED ? body.length : 0;
      if (capacity > MAX_UNCOUNTED && !grow(capacity - before)) return false;
      const larger = Buffer.allocUnsafeSlow(capacity);
      body.copy(larger, 0, 0, received.bytes);
      body = larger;
      return true;
    };
    // Events, not `for await`: an iterator over the stream costs more than a cached answer. What comes after a refusal
    // is dropped, so that a client which sends on hears the answer.
    request.on('data', (chunk: Buffer<ArrayBuffer>) => {
      if (isRefused) return;
      const size = received.bytes + chunk.length;
      if (size > maxBytes) return refuse(new HttpError(413, TOO_LARGE_BODY));
      if (chunk.length < SMALL_CHUNK && ++smallChunks > MAX_SMALL_CHUNKS)
        return refuse(new HttpError(400, TOO_MANY_CHUNKS, { close: true }));
      if (chunk.length === declared && size <= MAX_UNCOUNTED) body = chunk;
      else {
        if (size > body.length && !makeRoom(size)) return refuse(overMemoryError());
        chunk.copy(body, received.bytes);
      }
      received.bytes = size;
    });
    request.once('end', () => resolve(body.subarray(0, received.bytes)));
    const isCut = () => reject(new HttpError(400, CUT_BODY));
    request.once('error', isCut);
    // One that was cut off before its body is read emits no error; after `end` this changes nothing.
    if (request.destroyed) isCut();
    else request.once('close', isCut);
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
  'the content encoding is not supported: send the body as it is, or where one is known as gzip, deflate, br or zstd';

function decoderOf({ headers }: IncomingMessage, { decode }: BodyOptions): Decoder | undefined {
  const encoding = headers['content-encoding']?.toLowerCase() ?? 'identity';
  if (encoding === 'identity') return undefined;
  if (!decode || !Object.hasOwn(DECODERS, encoding)) throw new HttpError(415, UNKNOWN_ENCODING);
  return DECODERS[encoding as keyof typeof DECODERS];
}

/** Unpacks a body outside the event loop, and stops at the limit: a body may unpack to a thousand times its size. */
async function decode(
  decoder: Decoder,
  body: Buffer<ArrayBuffer>,
  { maxBytes, grow, shrink }: BodyOptions,
): Promise<Buffer<ArrayBuffer>> {
  if (!grow(maxBytes)) throw overMemoryError();
  try {
    const decoded = await decoder(body, { maxOutputLength: maxBytes, chunkSize: FIRST_BUFFER });
    shrink(maxBytes - decoded.length);
    return decoded as Buffer<ArrayBuffer>;
  } catch (error) {
    const isTooLarge = error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
    throw isTooLarge ? new HttpError(413, TOO_LARGE_BODY) : new HttpError(400, UNREADABLE_BODY);
  }
}
