import type { ServerResponse } from 'node:http';

let ready: { readonly response: ServerResponse; readonly bytes: Buffer | undefined }[] = [];

/**
 * Ends a response when the turn of the event loop ends, together with all the others that are ready by then: whoever
 * reads on this machine, a proxy beside us, is woken once for all of them and not once for each, which is a third of
 * what a kept answer costs.
 */
export function endInBatch(response: ServerResponse, bytes?: Buffer): void {
  if (ready.push({ response, bytes }) === 1) setImmediate(endAll);
}

function endAll(): void {
  const all = ready;
  ready = [];
  for (const { response, bytes } of all) response.end(bytes);
}
