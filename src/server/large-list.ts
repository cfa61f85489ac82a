import type { ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { Context } from '../graphql/context.ts';
import type { RestList } from '../rest/router.ts';
import { JSON_TYPE, jsonResponse } from './json-response.ts';
import type { MemoryHolding } from './memory-budget.ts';
import { type ComputedResponse, type LargeList, MAX_BYTES } from './response-cache.ts';

/**
 * Computes the response of a list. A list above `MAX_BYTES` is not cacheable: the result contains the pages read so far
 * and the rest to stream.
 */
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
    return { answer: { status: 200, headers, operation, bytes: EMPTY, list: { ...read, requestId } }, keep: false };
  const bytes = read.pieces.length === 1 ? (read.pieces[0] ?? EMPTY) : Buffer.concat(read.pieces);
  return {
    answer: { status: 200, headers: [...headers, 'Content-Length', String(bytes.length)], bytes, operation },
    keep: true,
  };
}

const EMPTY = Buffer.alloc(0);

/**
 * Streams a large list: first the pieces, which `holding` counts already, then each remaining page once the client has
 * received the previous one. An error after the first byte destroys the connection, so that the client does not mistake
 * a truncated list for a complete one.
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
    // The client disconnected.
    if (code !== 'ERR_STREAM_PREMATURE_CLOSE' && code !== 'ERR_STREAM_DESTROYED') throw error;
  }
}
