import type { ServerResponse } from 'node:http';

/** Just below 16 MiB, where Kitestring stops reading a response. */
const BYTES = 15_800_000;

const objectOf = (spec: string) => `{"metadata":{"name":"object"},"spec":${spec}}`;
const itemsOf = (text: string) => Buffer.from(`{"items":[${text}]}`);
const large = (_: unknown, index: number) =>
  JSON.stringify({ metadata: { name: `object-${index}` }, data: { text: 'x'.repeat(60_000) } });

/** The bodies with which a hostile API server answers a list: large, deeply nested, or with very many empty objects. */
export const HOSTILE_LISTS = {
  large: () => itemsOf(Array.from({ length: 250 }, large).join()),
  nested: () => itemsOf(objectOf(`${'['.repeat(BYTES / 2)}${']'.repeat(BYTES / 2)}`)),
  objects: () => itemsOf(objectOf(`[${Array(1_200_000).fill('{}').join()}]`)),
};

/**
 * Sends a list in chunks of one byte, by default as many as Kitestring reads. Writes to the socket directly, because
 * Node's response would combine chunks.
 */
export function sendInChunks({ socket }: ServerResponse, count = BYTES): void {
  socket?.write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n');
  socket?.write(Buffer.from('1\r\n \r\n'.repeat(count)));
  socket?.write('c\r\n{"items":[]}\r\n0\r\n\r\n');
}
