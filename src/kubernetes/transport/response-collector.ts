import type { Dispatcher } from 'undici';
import { yieldWhenBusy } from '../../event-loop.ts';
import { afterSocketIsFree } from '../../internals/undici.ts';
import { ClusterError } from '../cluster-error.ts';
import type { MemoryHold } from './live-memory.ts';

/** Minimum and maximum bytes of a block after the first. */
const [MIN_BLOCK, MAX_BLOCK] = [4 * 1024, 1024 * 1024];

/** A complete response of the API server, with any HTTP status. */
export interface ApiResponse {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
  /** Returns the memory of the body to the MemoryHold; the body must not be used afterwards. */
  readonly discard: () => void;
}

/**
 * Collects the response of one request for undici. `stop` aborts the
 * request at any time, even before it has a socket.
 */
export class ResponseCollector implements Dispatcher.DispatchHandler {
  readonly #server: string;
  readonly #maxBytes: number;
  readonly #result = Promise.withResolvers<ApiResponse>();
  readonly #memory: MemoryHold | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #stopped: Error | undefined;
  #status = 0;
  #contentType = '';
  /**
   * Chunks are copied into blocks: a chunk is a view of undici's read buffer, so keeping 1 byte would retain 64 KiB.
   * All blocks but the last are full.
   */
  #blocks: Buffer[] = [];
  #size = 0;
  #capacity = 0;

  constructor({ server, maxBytes, memory }: { server: string; maxBytes: number; memory?: MemoryHold | undefined }) {
    this.#server = server;
    this.#maxBytes = maxBytes;
    this.#memory = memory;
  }

  /**
   * Resolves with the complete response. Rejects with the error passed to `stop`, or with an error of undici or Node.
   */
  get response(): Promise<ApiResponse> {
    return this.#result.promise;
  }

  get isStopped(): boolean {
    return this.#stopped !== undefined;
  }

  stop(error: Error): void {
    this.#stopped ??= error;
    this.#discard();
    this.#result.reject(error);
    this.#controller?.abort(error);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#stopped) controller.abort(this.#stopped);
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: Record<string, unknown>): void {
    if (status < 200) return;
    this.#status = status;
    this.#contentType = String(headers['content-type'] ?? '');
    const encoding = headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') {
      const why = `${this.#server} compressed its response although the request forbids it`;
      this.stop(new ClusterError('NOT_KUBERNETES', why));
    } else if (Number(headers['content-length']) > this.#maxBytes) this.#stopTooLarge();
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#stopped) return;
    if (this.#size + chunk.length > this.#maxBytes) {
      this.#stopTooLarge();
      return;
    }
    for (let copied = 0; copied < chunk.length; ) {
      if (this.#size === this.#capacity && !this.#addBlock(chunk.length - copied)) return;
      const block = this.#blocks.at(-1) as Buffer;
      const bytes = chunk.copy(block, block.length - (this.#capacity - this.#size), copied);
      copied += bytes;
      this.#size += bytes;
    }
  }

  /** Adds a block of the size of the response so far: a response that arrives in one chunk needs one block. */
  #addBlock(bytes: number): boolean {
    const growth = Math.min(Math.max(this.#size, MIN_BLOCK), MAX_BLOCK, this.#maxBytes - this.#size);
    const length = this.#size === 0 ? bytes : Math.max(bytes, growth);
    try {
      this.#memory?.take(length);
    } catch (error) {
      this.stop(error as Error);
      return false;
    }
    this.#blocks.push(Buffer.allocUnsafeSlow(length));
    this.#capacity += length;
    return true;
  }

  #discard(): void {
    this.#memory?.giveBack(this.#capacity);
    this.#blocks = [];
    this.#size = 0;
    this.#capacity = 0;
  }

  onResponseEnd(): void {
    afterSocketIsFree(() => this.#finish().catch((error: Error) => this.stop(error)));
  }

  async #finish(): Promise<void> {
    if (this.#blocks.length > 1) {
      this.#memory?.take(this.#size);
      const body = Buffer.allocUnsafeSlow(this.#size);
      let copied = 0;
      for (const block of this.#blocks) {
        // Copying 16 MiB takes up to 40 ms, because the memory is used for the first time.
        await yieldWhenBusy();
        copied += block.copy(body, copied);
      }
      this.#memory?.giveBack(this.#capacity);
      this.#blocks = [body];
      this.#capacity = this.#size;
    }
    const body = this.#blocks[0]?.subarray(0, this.#size) ?? Buffer.alloc(0);
    const discard = () => this.#discard();
    this.#result.resolve({ status: this.#status, contentType: this.#contentType, body, discard });
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#discard();
    this.#result.reject(error);
  }

  #stopTooLarge(): void {
    const why = `the response of ${this.#server} has more than ${this.#maxBytes} bytes`;
    this.stop(new ClusterError('RESPONSE_TOO_LARGE', why));
  }
}
