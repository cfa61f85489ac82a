import type { ServerResponse } from 'node:http';

let ready: { readonly response: ServerResponse; readonly bytes: Buffer | undefined }[] = [];

/**
 * Ends a response at the end of the current turn of the event loop, together with all others that are ready by then. A
 * reader on this machine, such as a reverse proxy, then wakes up once per batch instead of once per response. Waking it
 * up takes a third of the time of a cached response.
 */
export function endInBatch(response: ServerResponse, bytes?: Buffer): void {
  if (ready.push({ response, bytes }) === 1) setImmediate(endAll);
}

function endAll(): void {
  const all = ready;
  ready = [];
  for (const { response, bytes } of all) response.end(bytes);
}
