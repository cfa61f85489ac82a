import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { Dispatcher } from 'undici';
import { yieldWhenBusy } from '../../event-loop.ts';
import { afterSocketIsFree } from '../../internals/undici.ts';
import { ClusterError } from '../cluster-error.ts';
import type { MemoryHold } from './live-memory.ts';

/** Minimum and maximum bytes of a block after the first. */
const [MIN_BLOCK, MAX_BLOCK] = [4 * 1024, 1024 * 1024];

const gunzipAsync = promisify(gunzip);
/** Bytes of the shortest gzip file: header, an empty block and trailer. */
const MIN_GZIP = 20;
const GZIP_MAGIC = 0x1f8b;

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
  #isCompressed = false;
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

  /** Whether the server has begun to respond. */
  get hasBegun(): boolean {
    return this.#status > 0;
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
    const encoding = headers['content-encoding'] ?? 'identity';
    this.#isCompressed = encoding === 'gzip';
    if (encoding !== 'identity' && encoding !== 'gzip') {
      const why = `${this.#server} compressed its response in a way that the request does not allow`;
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
    if (this.#isCompressed && this.#size > 0) await this.#decompress();
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

  /**
   * Replaces the body by its decompressed form. The last four bytes of gzip are the decompressed size (RFC 1952): it is
   * checked and charged before, and a body that turns out larger is refused.
   */
  async #decompress(): Promise<void> {
    const compressed = (this.#blocks[0] as Buffer).subarray(0, this.#size);
    const isGzip = compressed.length >= MIN_GZIP && compressed.readUInt16BE(0) === GZIP_MAGIC;
    const size = isGzip ? compressed.readUInt32LE(compressed.length - 4) : 0;
    if (size > this.#maxBytes) return this.#stopTooLarge();
    this.#memory?.take(size);
    const options = { maxOutputLength: Math.max(size, 1), chunkSize: Math.max(64, Math.min(size, MAX_BLOCK)) };
    const body = await gunzipAsync(compressed, options).catch(() => undefined);
    // `stop` has already returned the memory of the compressed body.
    this.#memory?.giveBack(this.#stopped ? size : this.#capacity);
    if (this.#stopped) return;
    this.#capacity = size;
    if (!body) {
      const why = `the compressed response of ${this.#server} is invalid`;
      return this.stop(new ClusterError('NOT_KUBERNETES', why));
    }
    this.#blocks = [body];
    this.#size = body.length;
  }
}
