import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Config } from '../config.ts';
import { requireActionOnSome } from '../domain/access/permissions.ts';
import type { Caller, Viewer } from '../domain/access/viewer.ts';
import { LiveBudget } from '../domain/clusters/live-reads.ts';
import { AnswerSize } from '../graphql/answer-size.ts';
import type { Context, Services } from '../graphql/context.ts';
import { OVER_BUDGET } from '../graphql/cost.ts';
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
import { excessOf, MAX_HEAD } from './head-limits.ts';
import { HttpExchange } from './http-exchange.ts';
import { jsonResponse, sendJson, sendMetrics } from './json-response.ts';
import type { KiteUi } from './kite-ui.ts';
import { computeList, sendList } from './large-list.ts';
import { MAX_HELD, MemoryBudget } from './memory-budget.ts';
import type { Metrics } from './metrics.ts';
import { crossSiteRefusal, HOST_NOT_SERVED, hostCheck } from './origin.ts';
import { pageFor } from './pages.ts';
import { clientResolver, proxiesOf } from './proxies.ts';
import { readinessOf } from './readiness.ts';
import { answerError, send } from './reply.ts';
import { type BodyOptions, readBodyOf } from './request-body.ts';
import { type ComputedResponse, type LargeList, MAX_QUESTION, ResponseCache } from './response-cache.ts';
import { sessionOf } from './session-cookies.ts';
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
  /** Kite's web UI, where one is served. */
  readonly ui?: KiteUi | undefined;
  readonly limits?: Partial<HttpLimits> | undefined;
  /** Counts what callers hold. */
  readonly memory?: MemoryBudget | undefined;
  /** Aborted when the server ends: streams end with it. */
  readonly ending: AbortSignal;
}

/** What one who sends or reads slowly, or opens many connections, may take. */
export interface HttpLimits extends ConnectionLimits {
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** How often the two are looked at. */
  readonly checkingMs: number;
}

const LIMITS: Omit<HttpLimits, 'keepAliveMs'> = {
  ...CONNECTION_LIMITS,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  checkingMs: 2_000,
};
/** Who asks, and the counters as they were when the request arrived. */
interface Asker {
  readonly viewer: Viewer | null;
  readonly counters: Counters;
}

/** The HTTP server: a request is checked and authenticated once here, before the two surfaces part. */
export function createHttpServer(options: ServerOptions): Server {
  const { config, log, authenticators, services, graphql, rest, metrics, ui, ending } = options;
  const limits = { ...LIMITS, keepAliveMs: config.keepAliveMs, ...options.limits };
  const clientOf = clientResolver(config.trustedProxies);
  const connections = new ConnectionGuard(limits, proxiesOf(config.trustedProxies));
  const budget = new CostBudget({
    perMinute: config.graphqlCostPerMinute,
    onTake: (cost) => metrics.charge(cost),
  });
  // A body that the configuration allows fits, with what it is unpacked to.
  const { memory = new MemoryBudget({ perCaller: Math.max(MAX_HELD, 2 * config.maxBody) }) } = options;
  const kept = new ResponseCache();
  const isOurs = hostCheck(config);
  const { allowedOrigins, maxBody } = config;
  const isReady = readinessOf(services.database, log);

  async function handle(exchange: HttpExchange): Promise<void> {
    const { request, path } = exchange;
    const surface = surfaceOf(path);
    if (!connections.admit(request, exchange.response, exchange.client.address))
      throw new HttpError(429, OVER_SHARE, { retryAfter: 1 });
    const excess = excessOf(request);
    if (excess) return (surface ?? REST).refuse(exchange.prepare(), excess.status, excess.message);
    if (!isOurs(request)) return (surface ?? REST).refuse(exchange.prepare(), 421, HOST_NOT_SERVED);
    if (request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined) {
      exchange.prepare().writeHead(204).end();
      return;
    }
    const page = pageFor(request, path, { isHome: ui === undefined });
    if (page) return page(request, exchange.prepare());
    if (path === '/healthz') return sendJson(exchange.prepare(), 200, { status: 'ok' });
    if (path === '/readyz') return answerReadiness(exchange);
    if (path === '/metrics') return answerMetrics(exchange);
    if (!surface) {
      const file = ui?.(request, path);
      return file ? file(request, exchange.prepare()) : REST.refuse(exchange.prepare(), 404, 'not found');
    }

    const known = services.database.counters();
    const counters = known instanceof Promise ? await known : known;
    const asked = authenticate(request, counters, authenticators);
    // No turn of the loop between a request and its kept answer: waiting costs as much as the answer.
    const who = asked instanceof Promise ? await asked : asked;
    const isPublic = surface === REST && rest.isPublic(request.method ?? '', path);
    const needed = surface === REST && !who.viewer ? 'Invalid or expired token' : undefined;
    // A wrong key is refused everywhere; a session that is over keeps nobody from signing in.
    const problem = isPublic ? (who.byKey ? who.problem : undefined) : (who.problem ?? needed);
    if (problem !== undefined)
      return surface.refuse(exchange.prepare(), 401, problem, { 'WWW-Authenticate': 'Bearer' });
    const refusal = who.byKey ? undefined : crossSiteRefusal(request, allowedOrigins);
    if (refusal) return surface.refuse(exchange.prepare(), refusal.status, refusal.message);

    if (surface === GRAPHQL && !['GET', 'HEAD', 'POST'].includes(request.method ?? ''))
      return GRAPHQL.refuse(exchange.prepare(), 405, 'method not allowed: use POST, or GET for queries', {
        Allow: 'GET, HEAD, POST',
      });

    const asker = { viewer: who.viewer ?? null, counters };
    return surface === REST ? answerRest(exchange, asker) : answerGraphQL(exchange, asker);
  }

  function contextOf(
    exchange: HttpExchange,
    { viewer, counters }: Asker,
    { unlimited }: { unlimited: boolean },
  ): Context {
    const { request, requestId } = exchange;
    const { address } = exchange.client;
    const caller: Caller = {
      ...{ viewer, requestId, address },
      refresh: async () => refresh(await services.database.counters()),
    };
    const refresh = async (now: Counters): Promise<Caller> => {
      const who = await authenticate(request, now, authenticators);
      return { viewer: who.viewer ?? null, requestId, address };
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

  /** Reads the body of a request on the account of its caller. */
  const bodyOf = (exchange: HttpExchange, { viewer }: Asker, most: Pick<BodyOptions, 'maxBytes' | 'decode'>) =>
    readBodyOf(exchange, viewer, { ...most, budget });

  async function answerRest(exchange: HttpExchange, asker: Asker): Promise<void> {
    const { request, path, requestId } = exchange;
    const list = request.method === 'GET' || request.method === 'HEAD' ? rest.list(path) : undefined;
    const context = () => contextOf(exchange, asker, { unlimited: true });
    if (!list) {
      const locals = {
        context: context(),
        route: (operation: string) => {
          exchange.operation = operation;
        },
        readBody: (most: Pick<BodyOptions, 'maxBytes' | 'decode'>) => bodyOf(exchange, asker, most),
        reply: (status: number, body: unknown) => send(exchange, asker.viewer, jsonResponse(status, body)),
        ...sessionOf(exchange, authenticators),
      };
      // The request holds memory for as long as its handler works, also when its client has left.
      return rest.handle(request, exchange.prepare(), locals);
    }
    const holding = () => exchange.holding(asker.viewer);
    const large = await answerKept(exchange, asker, '', () =>
      computeList(list, context(), { holding: holding(), path, requestId }),
    );
    if (!large) return;
    // Another request may have read it as far as that.
    const pages = large.requestId === requestId ? large : { pieces: [], rest: list.pages(context()) };
    await sendList(exchange.prepare(), pages, holding());
  }

  async function answerGraphQL(exchange: HttpExchange, first: Asker): Promise<void> {
    const { request } = exchange;
    const maxBytes = first.viewer ? maxBody : Math.min(maxBody, MAX_ANONYMOUS_BODY);
    const body = await bodyOf(exchange, first, { maxBytes, decode: false });
    // A body may take its time, and what the caller may do may have changed since its headers came.
    const counters = await services.database.counters();
    const isSame = counters.access === first.counters.access && counters.registry === first.counters.registry;
    const who = isSame ? first : await authenticate(request, counters, authenticators);
    if ('problem' in who && who.problem !== undefined) return GRAPHQL.refuse(exchange.prepare(), 401, who.problem);
    const asker = isSame ? first : { viewer: who.viewer ?? null, counters };
    if (wantsStream(request)) {
      const context = contextOf(exchange, asker, { unlimited: false });
      try {
        const answer = await executeGraphQL(graphql, { request, body, context });
        return isStream(answer)
          ? await pipeStream(answer, exchange.prepare(), exchange.holding(asker.viewer))
          : send(exchange, asker.viewer, await wholeResponse(answer));
      } finally {
        context.liveBudget.release();
      }
    }
    const compute = async () => {
      const context = contextOf(exchange, asker, { unlimited: false });
      const answer = await executeGraphQL(graphql, { request, body, context })
        .then(wholeResponse)
        .finally(() => context.liveBudget.release());
      const { isCacheable, operation, cost } = context.answer;
      return { answer: { ...answer, operation, cost }, keep: answer.status === 200 && isCacheable };
    };
    // An answer to a longer question is never kept, and the question would be a copy of the body.
    if (body.length > MAX_QUESTION) return send(exchange, asker.viewer, (await compute()).answer);
    await answerKept(exchange, asker, body.toString('latin1'), compute);
  }

  /** Sends the kept or computed answer; gives a list that is too large for that. */
  async function answerKept(
    exchange: HttpExchange,
    asker: Asker,
    body: string,
    compute: () => Promise<ComputedResponse>,
  ): Promise<LargeList | undefined> {
    const { viewer, counters } = asker;
    const question = cacheKeyOf(exchange.request, viewer, body);
    const found = kept.find(counters, question);
    const seconds = found?.cost ? budget.take({ viewer, address: exchange.client.address }, found.cost) : undefined;
    if (seconds !== undefined) throw new HttpError(429, OVER_BUDGET, { retryAfter: seconds });
    const answer = found ?? (await kept.compute(counters, question, compute));
    if (!answer.list) send(exchange, asker.viewer, answer);
    return answer.list;
  }

  /** The metrics, for whoever may read every cluster; without a key they are on a port of their own. */
  async function answerMetrics(exchange: HttpExchange): Promise<void> {
    const who = await authenticate(exchange.request, await services.database.counters(), authenticators);
    if (!who.viewer) return REST.refuse(exchange.prepare(), 401, who.problem ?? 'Invalid or expired token');
    requireActionOnSome({ viewer: who.viewer }, 'metrics.read');
    await sendMetrics(metrics, exchange.prepare());
  }

  async function answerReadiness(exchange: HttpExchange): Promise<void> {
    const [status, text] = (await isReady()) ? [200, 'ok'] : [503, 'unavailable'];
    sendJson(exchange.prepare(), status, { status: text });
  }

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const exchange = new HttpExchange(request, response, { log, metrics, allowedOrigins, clientOf, memory });
    handle(exchange)
      .catch((error: unknown) => answerError(exchange, error, log))
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
    (request, response) => connections.take(request, response, answer),
  );
  connections.guard(server);
  return server;
}

/** Masks an error for the REST surface as GraphQL does for its own. */
export function maskFor(log: Logger) {
  return (error: unknown, context: Context) => maskError(error, { log, requestId: context.caller.requestId });
}
