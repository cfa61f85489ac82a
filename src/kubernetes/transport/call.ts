import type { MemoryHold } from './live-memory.ts';

export interface Call {
  method?: 'GET' | 'POST';
  /** Sent as JSON. */
  body?: object;
  accept?: string;
  signal?: AbortSignal | undefined;
  /** Milliseconds until the complete response must have arrived. */
  timeoutMs?: number;
  /** Maximum bytes of the response body. */
  maxBytes?: number;
  /** Charged with the received bytes until the response is discarded. */
  memory?: MemoryHold | undefined;
}
