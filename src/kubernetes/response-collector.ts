import type { Dispatcher } from 'undici';
import { ClusterError } from './cluster-error.ts';
import type { MemoryHold } from './live-memory.ts';

/** Bytes by which the buffer of an answer grows at least. */
const MIN_GROWTH = 4 * 1024;

/** An answer of the API server, whatever its status. */
export interface ApiResponse {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
  /** Gives back the memory that the body took; the body must not be used afterwards. */
  readonly discard: () => void;
}

/** One request on its way to a whole answer; `stop` ends it at any time, before it has a socket too. */
export class ResponseCollector implements Dispatcher.DispatchHandler {
  readonly #server: string;
  readonly #maxBytes: number;
  readonly #whole = Promise.withResolvers<ApiResponse>();
  readonly #memory: MemoryHold | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #stopped: Error | undefined;
  #status = 0;
  #contentType = '';
  /** Chunks are copied: each is a view of undici's read buffer, so that a chunk of one byte would keep 64 KiB. */
  #buffer = Buffer.alloc(0);
  #size = 0;

  constructor({ server, maxBytes, memory }: { server: string; maxBytes: number; memory?: MemoryHold | undefined }) {
    this.#server = server;
    this.#maxBytes = maxBytes;
    this.#memory = memory;
  }

  /** Rejects with what it was stopped with, or with what undici or Node say. */
  get answer(): Promise<ApiResponse> {
    return this.#whole.promise;
  }

  get isStopped(): boolean {
    return this.#stopped !== undefined;
  }

  stop(error: Error): void {
    this.#stopped ??= error;
    this.#discard();
    this.#whole.reject(error);
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
      const why = `${this.#server} packed its answer, which it was asked not to do`;
      this.stop(new ClusterError('NOT_KUBERNETES', why));
    } else if (Number(headers['content-length']) > this.#maxBytes) this.#stopLarge();
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#stopped) return;
    const size = this.#size + chunk.length;
    if (size > this.#maxBytes) this.#stopLarge();
    else if (size <= this.#buffer.length || this.#grow(size)) {
      chunk.copy(this.#buffer, this.#size);
      this.#size = size;
    }
  }

  /** Doubles the buffer, so that all copies together are twice the answer; one that comes in one chunk is copied once. */
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
    const answer = { status: this.#status, contentType: this.#contentType, body, discard: () => this.#discard() };
    // Until undici's own turn, which it takes next, the socket counts as busy: a call right away would open another.
    queueMicrotask(() => setImmediate(this.#whole.resolve, answer));
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#discard();
    this.#whole.reject(error);
  }

  #stopLarge(): void {
    const why = `${this.#server} answered with more than ${this.#maxBytes} bytes`;
    this.stop(new ClusterError('RESPONSE_TOO_LARGE', why));
  }
}
