import type { ExecutionArgs, ExecutionResult } from 'graphql';
import { limitKeyOf } from '../domain/access/caller.ts';
import { ConcurrencyCounter } from '../domain/access/concurrency-counter.ts';
import { rateLimited } from './charge.ts';
import type { Context } from './context.ts';

/** Maximum number of documents with database work that one caller may run at once. More would wait for seconds. */
const MAX_RUNNING = 100;

/** Limits how many documents with database work each caller runs at once. */
export class RunningWork {
  readonly #running = new ConcurrencyCounter();

  /** Runs a document, or returns RATE_LIMITED if the caller already runs MAX_RUNNING documents. */
  async run<T>({ contextValue }: ExecutionArgs, execute: () => T | Promise<T>): Promise<T | ExecutionResult> {
    const { viewer } = (contextValue as Context).caller;
    const callerKey = viewer ? limitKeyOf(viewer) : '';
    if (this.#running.of(callerKey) >= MAX_RUNNING) {
      const message = `${MAX_RUNNING} of your documents that count or filter are running: wait for some of them to finish`;
      return { errors: [rateLimited(message, 1)] };
    }
    const end = this.#running.begin(callerKey);
    try {
      return await execute();
    } finally {
      end();
    }
  }
}
