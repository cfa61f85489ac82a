import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { isNotModified } from './not-modified.ts';

const QUALITY = { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } };
const ENCODERS = {
  br: (bytes: Buffer) => promisify(brotliCompress)(bytes, QUALITY),
  gzip: (bytes: Buffer) => promisify(gzip)(bytes),
} as const;

/** Content that is the same for every caller. */
export interface StaticContent {
  readonly hash: string;
  readonly send: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
}

/** Creates static content with the headers that describe it. It is compressed once per encoding, on first use. */
export function staticContent(content: string | Uint8Array, headers: Readonly<Record<string, string>>): StaticContent {
  const plain =
    typeof content === 'string'
      ? Buffer.from(content)
      : Buffer.from(content.buffer, content.byteOffset, content.byteLength);
  const hash = createHash('sha256').update(plain).digest('base64url').slice(0, 16);
  const encoded = new Map<string, Promise<Buffer>>();
  const encode = (coding: keyof typeof ENCODERS): Promise<Buffer> => {
    const bytes = encoded.get(coding) ?? ENCODERS[coding](plain);
    encoded.set(coding, bytes);
    return bytes;
  };
  return {
    hash,
    send: async (request, response) => {
      const coding = (['br', 'gzip'] as const).find((name) => accepts(request.headers['accept-encoding'], name));
      const etag = `"${hash}${coding ? `-${coding}` : ''}"`;
      response.setHeader('Vary', [response.getHeader('Vary') ?? [], 'Accept-Encoding'].flat().join(', '));
      response.setHeader('ETag', etag);
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
      if (isNotModified(request, etag)) {
        response.writeHead(304).end();
        return;
      }
      const bytes = coding ? await encode(coding) : plain;
      if (coding) response.setHeader('Content-Encoding', coding);
      response.writeHead(200, { 'Content-Length': bytes.length }).end(request.method === 'HEAD' ? undefined : bytes);
    },
  };
}

function accepts(acceptEncoding: string | string[] | undefined, coding: string): boolean {
  const offers = String(acceptEncoding ?? '').split(',');
  return offers.some((offer) => {
    const [name, quality] = offer.split(';').map((part) => part.trim().toLowerCase());
    return name === coding && !/^q=0(?:\.0*)?$/.test(quality ?? '');
  });
}
