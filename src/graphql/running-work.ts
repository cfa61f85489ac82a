import { type ExecutionArgs, type ExecutionResult, GraphQLError } from 'graphql';
import { ConcurrencyCounter } from '../domain/access/concurrency-counter.ts';
import { limitKeyOf } from '../domain/access/viewer.ts';
import type { Context } from './context.ts';

/** Documents of one caller that are computed at a time; their reads take turns, so that more would wait for seconds. */
const MAX_RUNNING = 100;

/** A refusal with HTTP 429 and the seconds to wait. */
export function rateLimited(message: string, seconds: number): GraphQLError {
  return new GraphQLError(message, {
    extensions: { code: 'RATE_LIMITED', http: { status: 429, headers: { 'Retry-After': String(seconds) } } },
  });
}

/** Limits how many documents with work in the database each caller has under way. */
export class RunningWork {
  readonly #running = new ConcurrencyCounter();

  /** Runs a document, or refuses it. */
  async run<T>({ contextValue }: ExecutionArgs, execute: () => T | Promise<T>): Promise<T | ExecutionResult> {
    const { viewer } = (contextValue as Context).caller;
    const who = viewer ? limitKeyOf(viewer) : '';
    if (this.#running.of(who) >= MAX_RUNNING) {
      const message = `${MAX_RUNNING} of your documents that count or filter are being answered: wait for some of them`;
      return { errors: [rateLimited(message, 1)] };
    }
    const end = this.#running.begin(who);
    try {
      return await execute();
    } finally {
      end();
    }
  }
}
