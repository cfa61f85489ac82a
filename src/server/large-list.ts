import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { Context } from '../graphql/context.ts';
import type { RestList } from '../rest/router.ts';
import { JSON_TYPE, jsonResponse } from './json-response.ts';
import type { MemoryHolding } from './memory-budget.ts';
import { type ComputedResponse, type LargeList, MAX_BYTES } from './response-cache.ts';

/** Computes the answer of a list: whole, and it may be kept, or as far as it was read when it is too large for that. */
export async function computeList(
  list: RestList,
  context: Context,
  { holding, path, requestId }: { holding: MemoryHolding; path: string; requestId: string },
): Promise<ComputedResponse> {
  const grow = (bytes: number) => holding.grow(bytes);
  const shrink = (bytes: number) => holding.shrink(bytes);
  const read = await list.read(context, { maxBytes: MAX_BYTES, grow, shrink });
  const operation = `GET ${path}`;
  if ('status' in read) {
    const { status, body } = read;
    return { answer: { ...jsonResponse(status, body, read.retryAfter), operation }, keep: false };
  }
  const headers = ['Content-Type', JSON_TYPE];
  if (read.rest)
    return { answer: { status: 200, headers, operation, bytes: NOTHING, list: { ...read, requestId } }, keep: false };
  const bytes = read.pieces.length === 1 ? (read.pieces[0] ?? NOTHING) : Buffer.concat(read.pieces);
  return {
    answer: { status: 200, headers: [...headers, 'Content-Length', String(bytes.length)], bytes, operation },
    keep: true,
  };
}

const NOTHING = Buffer.alloc(0);

/**
 * Sends a large list: the pieces that `holding` counts already, then page after page, each read once the client has taken
 * the one before it. An error after the first byte cuts the connection: the client must not take a part for the whole.
 */
export async function sendList(
  response: ServerResponse,
  { pieces, rest }: Pick<LargeList, 'pieces' | 'rest'>,
  holding: MemoryHolding,
): Promise<void> {
  response.writeHead(200, { 'Content-Type': JSON_TYPE });
  if (response.req.method === 'HEAD') {
    response.end();
    return;
  }
  const counted = async function* () {
    for (let piece = pieces.shift(); piece; piece = pieces.shift()) {
      yield piece;
      holding.shrink(piece.length);
    }
    for await (const page of rest ?? []) {
      if (!holding.grow(page.length)) return void response.destroy();
      yield page;
      holding.shrink(page.length);
    }
  };
  try {
    await pipeline(counted, response);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    // The client left.
    if (code !== 'ERR_STREAM_PREMATURE_CLOSE' && code !== 'ERR_STREAM_DESTROYED') throw error;
  }
}
