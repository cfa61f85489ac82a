import type { Dispatcher } from 'undici';
import { ClusterError } from './errors.ts';

/** An answer of the API server, whatever its status. */
export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
}

/** One request on its way to a whole answer; `stop` ends it at any time, before it has a socket too. */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #server: string;
  readonly #maxBytes: number;
  readonly #whole = Promise.withResolvers<Answer>();
  readonly #chunks: Buffer[] = [];
  #controller: Dispatcher.DispatchController | undefined;
  #stopped: Error | undefined;
  #status = 0;
  #contentType = '';
  #size = 0;

  constructor({ server, maxBytes }: { server: string; maxBytes: number }) {
    this.#server = server;
    this.#maxBytes = maxBytes;
  }

  /** Rejects with what it was stopped with, or with what undici or Node say. */
  get answer(): Promise<Answer> {
    return this.#whole.promise;
  }

  get isStopped(): boolean {
    return this.#stopped !== undefined;
  }

  stop(error: Error): void {
    this.#stopped ??= error;
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
    this.#size += chunk.length;
    this.#chunks.push(chunk);
    if (this.#size > this.#maxBytes) this.#stopLarge();
  }

  onResponseEnd(): void {
    const [first] = this.#chunks;
    const body = first && this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks, this.#size);
    const answer = { status: this.#status, contentType: this.#contentType, body };
    // Until undici's own turn, which it takes next, the socket counts as busy: a call right away would open another.
    queueMicrotask(() => setImmediate(this.#whole.resolve, answer));
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#whole.reject(error);
  }

  #stopLarge(): void {
    const why = `${this.#server} answered with more than ${this.#maxBytes} bytes`;
    this.stop(new ClusterError('RESPONSE_TOO_LARGE', why));
  }
}
