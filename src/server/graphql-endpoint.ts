import type { IncomingMessage } from 'node:http';
import { COST_BUDGET_EXCEEDED } from '../graphql/charge.ts';
import type { createGraphQL } from '../graphql/yoga.ts';
import { HttpError } from '../http-error.ts';
import { MAX_ANONYMOUS_BODY } from '../rest/body.ts';
import type { Counters, Database } from '../storage/database.ts';
import { type Authenticators, authenticate } from './authenticate.ts';
import { cacheKeyOf } from './cache-key.ts';
import { executeGraphQL, isStream, pipeStream, wantsStream, wholeResponse } from './graphql-execution.ts';
import type { HttpExchange } from './http-exchange.ts';
import { send } from './reply.ts';
import { readBodyOf } from './request-body.ts';
import type { EndpointOptions, Identity } from './request-context.ts';
import { type ComputedResponse, MAX_KEY_LENGTH } from './response-cache.ts';

export interface GraphQLEndpointOptions extends EndpointOptions {
  readonly graphql: ReturnType<typeof createGraphQL>;
  readonly database: Database;
}

/** Returns the function that responds to GraphQL requests: from the response cache, by execution, or with a stream. */
export function graphqlEndpoint(options: GraphQLEndpointOptions) {
  const { graphql, cache, budget, buildContext, authenticators, database, maxBody } = options;

  async function sendStream(exchange: HttpExchange, identity: Identity, body: Buffer<ArrayBuffer>): Promise<void> {
    const context = buildContext(exchange, identity, { unlimited: false });
    try {
      const result = await executeGraphQL(graphql, { request: exchange.request, body, context });
      if (isStream(result)) await pipeStream(result, exchange.prepare(), exchange.holding(identity.viewer));
      else send(exchange, identity.viewer, await wholeResponse(result));
    } catch (error) {
      // If the client disconnected, the stream has ended normally.
      if (!exchange.response.destroyed) throw error;
    } finally {
      context.liveBudget.release();
    }
  }

  async function compute(
    exchange: HttpExchange,
    identity: Identity,
    body: Buffer<ArrayBuffer>,
  ): Promise<ComputedResponse> {
    const context = buildContext(exchange, identity, { unlimited: false });
    const response = await executeGraphQL(graphql, { request: exchange.request, body, context })
      .then(wholeResponse)
      .finally(() => context.liveBudget.release());
    const { isCacheable, operation, cost } = context.responseFacts;
    return { response: { ...response, operation, cost }, isCacheable: isCacheable && response.status === 200 };
  }

  return async (exchange: HttpExchange, first: Identity): Promise<void> => {
    const { request, client } = exchange;
    if (!['GET', 'HEAD', 'POST'].includes(request.method ?? ''))
      throw new HttpError(405, 'method not allowed: use POST, or GET for queries', {
        headers: { Allow: 'GET, HEAD, POST' },
      });
    const maxBytes = first.viewer ? maxBody : Math.min(maxBody, MAX_ANONYMOUS_BODY);
    const body = await readBodyOf(exchange, first.viewer, { maxBytes, decode: false, budget });
    // The body may have arrived slowly: authenticate again if credentials or roles may have changed since the headers.
    const reading = database.counters();
    const counters = reading instanceof Promise ? await reading : reading;
    const isSame = counters.access === first.counters.access && counters.registry === first.counters.registry;
    const identity = isSame ? first : await identify(request, counters, authenticators);
    if (wantsStream(request)) return sendStream(exchange, identity, body);
    const { viewer } = identity;
    // Responses to larger bodies are never cached: skip the key, which would contain a copy of the body.
    if (body.length > MAX_KEY_LENGTH) return send(exchange, viewer, (await compute(exchange, identity, body)).response);
    const key = cacheKeyOf(request, viewer, body.toString('latin1'));
    const found = cache.find(identity.counters, key);
    const seconds = found?.cost ? budget.take({ viewer, address: client.address }, found.cost) : undefined;
    if (seconds !== undefined) throw new HttpError(429, COST_BUDGET_EXCEEDED, { retryAfter: seconds });
    send(
      exchange,
      viewer,
      found ?? (await cache.compute(identity.counters, key, () => compute(exchange, identity, body))),
    );
  };
}

async function identify(
  request: IncomingMessage,
  counters: Counters,
  authenticators: Authenticators,
): Promise<Identity> {
  const { viewer, problem } = await authenticate(request, counters, authenticators);
  if (problem !== undefined) throw new HttpError(401, problem);
  return { viewer, counters };
}
