import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Config } from '../config.ts';
import type { Caller, Viewer } from '../domain/access/caller.ts';
import { requireActionOnSome } from '../domain/access/permissions.ts';
import { LiveBudget } from '../domain/probing/live-reads.ts';
import { AnswerSize } from '../graphql/answer-size.ts';
import { OVER_BUDGET } from '../graphql/charge.ts';
import type { Context, Services } from '../graphql/context.ts';
import { maskError } from '../graphql/errors.ts';
import type { createGraphQL } from '../graphql/yoga.ts';
import { HttpError, OVER_SHARE } from '../http-error.ts';
import type { Logger } from '../log.ts';
import { MAX_ANONYMOUS_BODY } from '../rest/body.ts';
import type { Rest } from '../rest/router.ts';
import type { Counters } from '../storage/database.ts';
import { type Authenticators, authenticate } from './authenticate.ts';
import { cacheKeyOf } from './cache-key.ts';
import { CONNECTION_LIMITS, ConnectionGuard, type ConnectionLimits } from './connection-guard.ts';
import { CostBudget } from './cost-budget.ts';
import { executeGraphQL, isStream, pipeStream, wantsStream, wholeResponse } from './graphql-endpoint.ts';
import { findHeadProblem, MAX_HEAD } from './head-limits.ts';
import { HttpExchange } from './http-exchange.ts';
import { jsonResponse, sendJson, sendMetrics } from './json-response.ts';
import type { KiteUi } from './kite-ui.ts';
import { computeList, sendList } from './large-list.ts';
import { MAX_HELD, MemoryBudget } from './memory-budget.ts';
import type { Metrics } from './metrics.ts';
import { crossSiteRefusal, HOST_NOT_SERVED, hostCheck } from './origin.ts';
import { pageFor } from './pages.ts';
import { clientResolver, trustedProxyMatcher } from './proxies.ts';
import { readinessCheck } from './readiness.ts';
import { send, sendError } from './reply.ts';
import { type BodyOptions, readBodyOf } from './request-body.ts';
import { type ComputedResponse, type LargeList, MAX_KEY_LENGTH, ResponseCache } from './response-cache.ts';
import { sessionCookies } from './session-cookies.ts';
import { GRAPHQL, REST, surfaceOf } from './surface.ts';

export interface ServerOptions {
  readonly config: Pick<
    Config,
    | 'loopback'
    | 'allowedHosts'
    | 'allowedOrigins'
    | 'maxBody'
    | 'trustedProxies'
    | 'graphqlCostPerMinute'
    | 'keepAliveMs'
  >;
  readonly log: Logger;
  readonly authenticators: Authenticators;
  readonly services: Services;
  readonly graphql: ReturnType<typeof createGraphQL>;
  readonly rest: Rest;
  readonly metrics: Metrics;
  /** Kite's web UI, if KITE_UI_DIR is set. */
  readonly ui?: KiteUi | undefined;
  readonly limits?: Partial<HttpLimits> | undefined;
  /** Limits the memory that each caller holds; tests pass their own. */
  readonly memory?: MemoryBudget | undefined;
  /** Aborts when the server shuts down, which ends all streams. */
  readonly ending: AbortSignal;
}

/** Limits for clients that send or read slowly, or open many connections. */
export interface HttpLimits extends ConnectionLimits {
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** How often Node checks the two timeouts. */
  readonly checkingMs: number;
}

const LIMITS: Omit<HttpLimits, 'keepAliveMs'> = {
  ...CONNECTION_LIMITS,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  checkingMs: 2_000,
};

/**
 * The authenticated viewer, null for an anonymous caller, and the freshness counters under which it was authenticated.
 */
interface Identity {
  readonly viewer: Viewer | null;
  readonly counters: Counters;
}

/** The HTTP server. Checks and authenticates each request before it passes it to the REST or the GraphQL API. */
export function createHttpServer(options: ServerOptions): Server {
  const { config, log, authenticators, services, graphql, rest, metrics, ui, ending } = options;
  const limits = { ...LIMITS, keepAliveMs: config.keepAliveMs, ...options.limits };
  const clientOf = clientResolver(config.trustedProxies);
  const connections = new ConnectionGuard(limits, trustedProxyMatcher(config.trustedProxies));
  const budget = new CostBudget({
    perMinute: config.graphqlCostPerMinute,
    onTake: (cost) => metrics.charge(cost),
  });
  // Raise the limit if MAX_BODY is large, so that a body of that size fits both encoded and decoded.
  const { memory = new MemoryBudget({ perCaller: Math.max(MAX_HELD, 2 * config.maxBody) }) } = options;
  const cache = new ResponseCache();
  const isServedHost = hostCheck(config);
  const { allowedOrigins, maxBody } = config;
  const isReady = readinessCheck(services.database, log);

  async function handle(exchange: HttpExchange): Promise<void> {
    const { request, path } = exchange;
    const surface = surfaceOf(path);
    if (!connections.admit(request, exchange.response, exchange.client.address))
      throw new HttpError(429, OVER_SHARE, { retryAfter: 1 });
    const headProblem = findHeadProblem(request);
    if (headProblem) return (surface ?? REST).refuse(exchange.prepare(), headProblem.status, headProblem.message);
    if (!isServedHost(request)) return (surface ?? REST).refuse(exchange.prepare(), 421, HOST_NOT_SERVED);
    if (request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined) {
      exchange.prepare().writeHead(204).end();
      return;
    }
    const page = pageFor(request, path, { isHome: ui === undefined });
    if (page) return page(request, exchange.prepare());
    if (path === '/healthz') return sendJson(exchange.prepare(), 200, { status: 'ok' });
    if (path === '/readyz') return handleReadiness(exchange);
    if (path === '/metrics') return handleMetrics(exchange);
    if (!surface) {
      const file = ui?.(request, path);
      return file ? file(request, exchange.prepare()) : REST.refuse(exchange.prepare(), 404, 'not found');
    }

    // Await only promises: awaiting a plain value takes as much time as sending a cached response.
    const currentCounters = services.database.counters();
    const counters = currentCounters instanceof Promise ? await currentCounters : currentCounters;
    const authenticated = authenticate(request, counters, authenticators);
    const authentication = authenticated instanceof Promise ? await authenticated : authenticated;
    const isPublic = surface === REST && rest.isPublic(request.method ?? '', path);
    const missing = surface === REST && !authentication.viewer ? 'Invalid or expired token' : undefined;
    // Public routes reject an invalid API key too, but ignore an expired session, so that its user can sign in again.
    const { byKey } = authentication;
    const problem = isPublic ? (byKey ? authentication.problem : undefined) : (authentication.problem ?? missing);
    if (problem !== undefined)
      return surface.refuse(exchange.prepare(), 401, problem, { 'WWW-Authenticate': 'Bearer' });
    const refusal = byKey ? undefined : crossSiteRefusal(request, allowedOrigins);
    if (refusal) return surface.refuse(exchange.prepare(), refusal.status, refusal.message);

    if (surface === GRAPHQL && !['GET', 'HEAD', 'POST'].includes(request.method ?? ''))
      return GRAPHQL.refuse(exchange.prepare(), 405, 'method not allowed: use POST, or GET for queries', {
        Allow: 'GET, HEAD, POST',
      });

    const identity = { viewer: authentication.viewer ?? null, counters };
    return surface === REST ? handleRest(exchange, identity) : handleGraphQL(exchange, identity);
  }

  function contextOf(
    exchange: HttpExchange,
    { viewer, counters }: Identity,
    { unlimited }: { unlimited: boolean },
  ): Context {
    const { request, requestId } = exchange;
    const { address } = exchange.client;
    const caller: Caller = {
      ...{ viewer, requestId, address },
      refresh: async () => refresh(await services.database.counters()),
    };
    const refresh = async (current: Counters): Promise<Caller> => {
      const authentication = await authenticate(request, current, authenticators);
      return { viewer: authentication.viewer ?? null, requestId, address };
    };
    const charge = (cost: number) => budget.take(caller, cost);
    const signal = wantsStream(request) ? AbortSignal.any([ending, exchange.closed()]) : ending;
    return {
      ...services,
      counters,
      caller,
      unlimited,
      signal,
      refresh,
      answer: { isCacheable: false },
      charge,
      answerSize: unlimited ? undefined : new AnswerSize({ charge, memory: exchange.holding(viewer) }),
      liveBudget: new LiveBudget(signal),
    };
  }

  /** Reads the body of a request, and charges it to its caller. */
  const readBody = (exchange: HttpExchange, { viewer }: Identity, options: Pick<BodyOptions, 'maxBytes' | 'decode'>) =>
    readBodyOf(exchange, viewer, { ...options, budget });

  async function handleRest(exchange: HttpExchange, identity: Identity): Promise<void> {
    const { request, path, requestId } = exchange;
    const list = request.method === 'GET' || request.method === 'HEAD' ? rest.list(path) : undefined;
    const context = () => contextOf(exchange, identity, { unlimited: true });
    if (!list) {
      const locals = {
        context: context(),
        route: (operation: string) => {
          exchange.operation = operation;
        },
        readBody: (options: Pick<BodyOptions, 'maxBytes' | 'decode'>) => readBody(exchange, identity, options),
        reply: (status: number, body: unknown) => send(exchange, identity.viewer, jsonResponse(status, body)),
        ...sessionCookies(exchange, authenticators),
      };
      // The handler's memory stays counted until it finishes, even if the client disconnects.
      return rest.handle(request, exchange.prepare(), locals);
    }
    const holding = () => exchange.holding(identity.viewer);
    const large = await sendCachedOrComputed(exchange, identity, '', () =>
      computeList(list, context(), { holding: holding(), path, requestId }),
    );
    if (!large) return;
    // A concurrent equal request may have computed this: its pages belong to that request, so read the list again.
    const pages = large.requestId === requestId ? large : { pieces: [], rest: list.pages(context()) };
    await sendList(exchange.prepare(), pages, holding());
  }

  async function handleGraphQL(exchange: HttpExchange, first: Identity): Promise<void> {
    const { request } = exchange;
    const maxBytes = first.viewer ? maxBody : Math.min(maxBody, MAX_ANONYMOUS_BODY);
    const body = await readBody(exchange, first, { maxBytes, decode: false });
    // The body may have arrived slowly: authenticate again if credentials or roles may have changed since the headers.
    const counters = await services.database.counters();
    const isSame = counters.access === first.counters.access && counters.registry === first.counters.registry;
    const authentication = isSame ? first : await authenticate(request, counters, authenticators);
    if ('problem' in authentication && authentication.problem !== undefined)
      return GRAPHQL.refuse(exchange.prepare(), 401, authentication.problem);
    const identity = isSame ? first : { viewer: authentication.viewer ?? null, counters };
    if (wantsStream(request)) {
      const context = contextOf(exchange, identity, { unlimited: false });
      try {
        const result = await executeGraphQL(graphql, { request, body, context });
        return isStream(result)
          ? await pipeStream(result, exchange.prepare(), exchange.holding(identity.viewer))
          : send(exchange, identity.viewer, await wholeResponse(result));
      } finally {
        context.liveBudget.release();
      }
    }
    const compute = async () => {
      const context = contextOf(exchange, identity, { unlimited: false });
      const answer = await executeGraphQL(graphql, { request, body, context })
        .then(wholeResponse)
        .finally(() => context.liveBudget.release());
      const { isCacheable, operation, cost } = context.answer;
      return { answer: { ...answer, operation, cost }, keep: answer.status === 200 && isCacheable };
    };
    // Responses to larger bodies are never cached: skip the key, which would contain a copy of the body.
    if (body.length > MAX_KEY_LENGTH) return send(exchange, identity.viewer, (await compute()).answer);
    await sendCachedOrComputed(exchange, identity, body.toString('latin1'), compute);
  }

  /** Sends the cached or computed response. Returns a list that is too large for the cache instead of sending it. */
  async function sendCachedOrComputed(
    exchange: HttpExchange,
    identity: Identity,
    body: string,
    compute: () => Promise<ComputedResponse>,
  ): Promise<LargeList | undefined> {
    const { viewer, counters } = identity;
    const key = cacheKeyOf(exchange.request, viewer, body);
    const found = cache.find(counters, key);
    const seconds = found?.cost ? budget.take({ viewer, address: exchange.client.address }, found.cost) : undefined;
    if (seconds !== undefined) throw new HttpError(429, OVER_BUDGET, { retryAfter: seconds });
    const answer = found ?? (await cache.compute(counters, key, compute));
    if (!answer.list) send(exchange, identity.viewer, answer);
    return answer.list;
  }

  /**
   * Sends the metrics to callers that may read every cluster. The metrics server serves them without authentication.
   */
  async function handleMetrics(exchange: HttpExchange): Promise<void> {
    const authentication = await authenticate(exchange.request, await services.database.counters(), authenticators);
    if (!authentication.viewer)
      return REST.refuse(exchange.prepare(), 401, authentication.problem ?? 'Invalid or expired token');
    requireActionOnSome({ viewer: authentication.viewer }, 'metrics.read');
    await sendMetrics(metrics, exchange.prepare());
  }

  async function handleReadiness(exchange: HttpExchange): Promise<void> {
    const [status, text] = (await isReady()) ? [200, 'ok'] : [503, 'unavailable'];
    sendJson(exchange.prepare(), status, { status: text });
  }

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const exchange = new HttpExchange(request, response, { log, metrics, allowedOrigins, clientOf, memory });
    handle(exchange)
      .catch((error: unknown) => sendError(exchange, error, log))
      .finally(() => exchange.leave());
  }

  const server = createServer(
    {
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      connectionsCheckingInterval: limits.checkingMs,
      maxHeaderSize: MAX_HEAD,
      optimizeEmptyRequests: true,
    },
    (request, response) => connections.take(request, response, serve),
  );
  connections.guard(server);
  return server;
}

/** Returns the error mask for the REST API: it converts errors as the GraphQL API does. */
export function maskFor(log: Logger) {
  return (error: unknown, context: Context) => maskError(error, { log, requestId: context.caller.requestId });
}
