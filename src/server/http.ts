import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Config } from '../config.ts';
import { Caller } from '../domain/access/caller.ts';
import { requireActionOnSome } from '../domain/access/permissions.ts';
import type { Services } from '../graphql/context.ts';
import type { createGraphQL } from '../graphql/yoga.ts';
import { ADDRESS_SHARE_EXCEEDED, HttpError } from '../http-error.ts';
import type { Logger } from '../log.ts';
import { isPublic } from '../rest/sign-in.ts';
import { apiOf, REST } from './api.ts';
import { type Authentication, type Authenticators, authenticate } from './authenticate.ts';
import { CONNECTION_LIMITS, ConnectionGuard, type ConnectionLimits } from './connection-guard.ts';
import { CostBudget } from './cost-budget.ts';
import { graphqlEndpoint } from './graphql-endpoint.ts';
import { checkHead, MAX_HEAD } from './head-limits.ts';
import { HttpExchange } from './http-exchange.ts';
import { sendJson, sendMetrics } from './json-response.ts';
import type { KiteUi } from './kite-ui.ts';
import { MAX_HELD, MemoryBudget } from './memory-budget.ts';
import type { Metrics } from './metrics.ts';
import { HOST_NOT_SERVED, hostCheck, refuseCrossSite } from './origin.ts';
import { pageFor } from './pages.ts';
import { clientResolver, trustedProxyMatcher } from './proxies.ts';
import { readinessCheck } from './readiness.ts';
import { sendError } from './reply.ts';
import { contextBuilder } from './request-context.ts';
import { ResponseCache } from './response-cache.ts';
import { restEndpoint } from './rest-endpoint.ts';

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

/** The HTTP server. Checks and authenticates each request before it passes it to the REST or the GraphQL API. */
export function createHttpServer(options: ServerOptions): Server {
  const { config, log, authenticators, services, graphql, metrics, ui, ending } = options;
  const { allowedOrigins, maxBody } = config;
  const limits = { ...LIMITS, keepAliveMs: config.keepAliveMs, ...options.limits };
  const clientOf = clientResolver(config.trustedProxies);
  const connections = new ConnectionGuard(limits, trustedProxyMatcher(config.trustedProxies));
  // Raise the limit if MAX_BODY is large, so that a body of that size fits both encoded and decoded.
  const { memory = new MemoryBudget({ perCaller: Math.max(MAX_HELD, 2 * maxBody) }) } = options;
  const isServedHost = hostCheck(config);
  const isReady = readinessCheck(services.database, log);
  const home = { isHome: ui === undefined };

  const cache = new ResponseCache();
  const budget = new CostBudget({
    perMinute: config.graphqlCostPerMinute,
    onTake: (cost) => metrics.charge(cost),
  });
  const buildContext = contextBuilder({ services, authenticators, budget, ending });
  const endpoint = { cache, budget, buildContext, authenticators, maxBody };
  const respondToRest = restEndpoint(endpoint);
  const respondToGraphQL = graphqlEndpoint({ ...endpoint, graphql, database: services.database });

  /** Each step responds, throws the HttpError to send, or passes the request on to the next step. */
  async function handle(exchange: HttpExchange): Promise<void> {
    const { request, path } = exchange;
    if (!connections.admit(request, exchange.response, exchange.client.address))
      throw new HttpError(429, ADDRESS_SHARE_EXCEEDED, { retryAfter: 1 });
    checkHead(request);
    if (!isServedHost(request)) throw new HttpError(421, HOST_NOT_SERVED);
    if (isPreflight(request)) return void exchange.prepare().writeHead(204).end();

    const page = pageFor(request, path, home);
    if (page) return page(request, exchange.prepare());
    if (path === '/healthz') return sendJson(exchange.prepare(), 200, { status: 'ok' });
    if (path === '/readyz') return sendReadiness(exchange);
    if (path === '/metrics') return sendMetricsToViewer(exchange);
    const api = apiOf(path);
    if (!api) return sendFile(exchange);

    // Await only promises: awaiting a plain value takes as much time as sending a cached response.
    const reading = services.database.counters();
    const counters = reading instanceof Promise ? await reading : reading;
    const authenticating = authenticate(request, counters, authenticators);
    const authentication = authenticating instanceof Promise ? await authenticating : authenticating;
    refuseUnauthenticated(exchange, authentication);
    if (!authentication.byKey) refuseCrossSite(request, allowedOrigins);

    const identity = { viewer: authentication.viewer ?? null, counters };
    return api === REST ? respondToRest(exchange, identity) : respondToGraphQL(exchange, identity);
  }

  /** Kite's web UI serves every path that nothing else serves. */
  function sendFile(exchange: HttpExchange): void | Promise<void> {
    const file = ui?.(exchange.request, exchange.path);
    if (!file) throw new HttpError(404, 'not found');
    return file(exchange.request, exchange.prepare());
  }

  /** Sends the metrics to viewers that may read them. The metrics server serves them without authentication. */
  async function sendMetricsToViewer(exchange: HttpExchange): Promise<void> {
    const { viewer, problem } = await authenticate(
      exchange.request,
      await services.database.counters(),
      authenticators,
    );
    if (!viewer) throw new HttpError(401, problem ?? INVALID_TOKEN);
    requireActionOnSome(new Caller({ viewer }), 'metrics.read');
    await sendMetrics(metrics, exchange.prepare());
  }

  async function sendReadiness(exchange: HttpExchange): Promise<void> {
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

const INVALID_TOKEN = 'Invalid or expired token';

function isPreflight({ method, headers }: IncomingMessage): boolean {
  return method === 'OPTIONS' && headers['access-control-request-method'] !== undefined;
}

/**
 * Throws an HttpError with status 401 for invalid credentials, and for an anonymous caller of a REST route that is not
 * public. Public routes reject an invalid API key too, but ignore an expired session, so that its user can sign in
 * again.
 */
function refuseUnauthenticated({ request, path }: HttpExchange, { viewer, byKey, problem }: Authentication): void {
  if (viewer) return;
  const isRest = apiOf(path) === REST;
  if (isRest && !byKey && isPublic(request.method ?? '', path)) return;
  const reason = problem ?? (isRest ? INVALID_TOKEN : undefined);
  if (reason !== undefined) throw new HttpError(401, reason, { headers: { 'WWW-Authenticate': 'Bearer' } });
}
