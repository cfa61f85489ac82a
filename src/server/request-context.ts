import { Caller, type Viewer } from '../domain/access/caller.ts';
import { LiveBudget } from '../domain/probing/live-reads.ts';
import type { Context, Services } from '../graphql/context.ts';
import { ResponseSize } from '../graphql/response-size.ts';
import type { Counters } from '../storage/database.ts';
import { type Authenticators, authenticate } from './authenticate.ts';
import type { CostBudget } from './cost-budget.ts';
import { wantsStream } from './graphql-execution.ts';
import type { HttpExchange } from './http-exchange.ts';
import type { ResponseCache } from './response-cache.ts';

/**
 * The authenticated viewer, null for an anonymous caller, and the freshness counters under which it was authenticated.
 */
export interface Identity {
  readonly viewer: Viewer | null;
  readonly counters: Counters;
}

export interface ContextOptions {
  readonly services: Services;
  readonly authenticators: Authenticators;
  readonly budget: CostBudget;
  /** Aborts when the server shuts down. */
  readonly ending: AbortSignal;
}

/** Builds the context of a request. `unlimited`: whether it is for a document of the REST API itself. */
export type BuildContext = (
  exchange: HttpExchange,
  identity: Identity,
  options: { readonly unlimited: boolean },
) => Context;

/** The services that the REST endpoint and the GraphQL endpoint share. */
export interface EndpointOptions {
  readonly cache: ResponseCache;
  readonly budget: CostBudget;
  readonly buildContext: BuildContext;
  readonly authenticators: Authenticators;
  /** Maximum bytes of a body. */
  readonly maxBody: number;
}

export function contextBuilder({ services, authenticators, budget, ending }: ContextOptions): BuildContext {
  return (exchange, { viewer, counters }, { unlimited }) => {
    const { request, requestId } = exchange;
    const { address } = exchange.client;
    const caller = new Caller({
      ...{ viewer, requestId, address },
      authenticate: async () => {
        const current = await services.database.counters();
        return (await authenticate(request, current, authenticators)).viewer ?? null;
      },
    });
    const charge = (cost: number) => budget.take(caller, cost);
    const signal = wantsStream(request) ? AbortSignal.any([ending, exchange.closed()]) : ending;
    return {
      ...services,
      counters,
      caller,
      unlimited,
      signal,
      responseFacts: { isCacheable: false },
      charge,
      responseSize: unlimited ? undefined : new ResponseSize({ charge, memory: exchange.holding(viewer) }),
      liveBudget: new LiveBudget(signal),
    };
  };
}
