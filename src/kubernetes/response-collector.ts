import type { Dispatcher } from 'undici';
import { ClusterError } from './cluster-error.ts';
import type { MemoryHold } from './live-memory.ts';

/** Minimum bytes by which the buffer grows. */
const MIN_GROWTH = 4 * 1024;

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
   * Chunks are copied into this buffer: a chunk is a view of undici's read
   * buffer, so keeping 1 byte would retain 64 KiB.
   */
  #buffer = Buffer.alloc(0);
  #size = 0;

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
    const size = this.#size + chunk.length;
    if (size > this.#maxBytes) this.#stopTooLarge();
    else if (size <= this.#buffer.length || this.#grow(size)) {
      chunk.copy(this.#buffer, this.#size);
      this.#size = size;
    }
  }

  /**
   * Doubles the buffer, so that at most twice the response is copied in total. A
   * response that arrives in one chunk is copied once.
   */
  #grow(size: number): boolean {
    const { length } = this.#buffer;
    const capacity = length === 0 ? size : Math.min(this.#maxBytes, Math.max(size, 2 * length, MIN_GROWTH));
    try {
      this.#memory?.take(capacity - length);
    } catch (error) {
      this.stop(error as Error);
      return false;
    }
    const buffer = Buffer.allocUnsafeSlow(capacity);
    this.#buffer.copy(buffer, 0, 0, this.#size);
    this.#buffer = buffer;
    return true;
  }

  #discard(): void {
    this.#memory?.giveBack(this.#buffer.length);
    this.#buffer = Buffer.alloc(0);
    this.#size = 0;
  }

  onResponseEnd(): void {
    const body = this.#buffer.subarray(0, this.#size);
    const response = { status: this.#status, contentType: this.#contentType, body, discard: () => this.#discard() };
    // undici frees the socket in its next task. Resolve after that: a call that follows immediately would otherwise
    // open a new socket.
    queueMicrotask(() => setImmediate(this.#result.resolve, response));
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
