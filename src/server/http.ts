import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Config } from '../config.ts';
import type { Pending } from '../domain/access/open-id.ts';
import { authorize } from '../domain/access/permissions.ts';
import type { SignedIn } from '../domain/access/sessions.ts';
import type { Caller, Viewer } from '../domain/access/viewer.ts';
import { LiveBudget } from '../domain/clusters/live.ts';
import { domainErrorOf } from '../domain/errors.ts';
import type { Context, Services } from '../graphql/context.ts';
import { OVER_BUDGET } from '../graphql/cost.ts';
import { ERRORS, maskError } from '../graphql/errors.ts';
import type { createGraphQL } from '../graphql/yoga.ts';
import type { Logger } from '../log.ts';
import { MAX_STRANGER_BODY } from '../rest/body.ts';
import type { Rest } from '../rest/router.ts';
import type { Counters } from '../storage/database.ts';
import { jsonAnswer, sendJson, sendMetrics } from './answer.ts';
import { type Authenticators, authenticate, wasForwarded } from './authenticate.ts';
import { clearCookie, PENDING, readCookie, writeCookie } from './cookie.ts';
import { CostBudget } from './cost-budget.ts';
import { Exchange } from './exchange.ts';
import { askGraphQL, isStream, passStream, readRaw, wantsStream, wholeAnswer } from './graphql-endpoint.ts';
import { type Computed, KeptAnswers } from './kept.ts';
import type { KiteUi } from './kite-ui.ts';
import type { Metrics } from './metrics.ts';
import { crossSiteRefusal, NOT_OUR_HOST, ourHosts } from './origin.ts';
import { pageFor } from './pages.ts';
import { clientsBehind } from './proxies.ts';
import { questionOf } from './question.ts';
import { readinessOf } from './readiness.ts';
import { GRAPHQL, REST, surfaceOf } from './surface.ts';

export interface ServerOptions {
  readonly config: Pick<
    Config,
    'loopback' | 'allowedHosts' | 'allowedOrigins' | 'maxBody' | 'trustedProxies' | 'graphqlCostPerMinute'
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
  /** Aborted when the server ends: streams end with it. */
  readonly ending: AbortSignal;
}

/** What one who sends slowly, or opens many connections, may take. */
export interface HttpLimits {
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** How often the two are looked at. */
  readonly checkingMs: number;
  readonly connections: number;
}

const LIMITS: HttpLimits = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 60_000,
  checkingMs: 2_000,
  connections: 4_096,
};
/** Bytes of a request's head, and characters of its URL below; proxies stop at about as many. */
const MAX_HEAD = 16_384;
/** Refused, where Node drops what is beyond 2,000, and with that perhaps what a proxy has added. */
const MAX_FIELDS = 100;
const MAX_URL = 8_192;

/** Who asks, and the counters as they were when the request arrived. */
interface Asker {
  readonly viewer: Viewer | null;
  readonly counters: Counters;
}

const BROKEN = 'Something went wrong on our side; the log has it under this request id';

/** The HTTP server: a request is checked and authenticated once here, before the two surfaces part. */
export function createHttpServer(options: ServerOptions): Server {
  const { config, log, authenticators, services, graphql, rest, metrics, ui, ending } = options;
  const limits = { ...LIMITS, ...options.limits };
  const clientOf = clientsBehind(config.trustedProxies);
  const budget = new CostBudget({ perMinute: config.graphqlCostPerMinute });
  const kept = new KeptAnswers();
  const isOurs = ourHosts(config);
  const { allowedOrigins, maxBody } = config;
  const isReady = readinessOf(services.database, log);

  async function handle(exchange: Exchange): Promise<void> {
    const { request, path } = exchange;
    const surface = surfaceOf(path);
    const excess = excessOf(request);
    if (excess) return (surface ?? REST).refuse(exchange.prepare(), excess.status, excess.message);
    if (!isOurs(request)) return (surface ?? REST).refuse(exchange.prepare(), 421, NOT_OUR_HOST);
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

  function contextOf(exchange: Exchange, { viewer, counters }: Asker, { unlimited }: { unlimited: boolean }): Context {
    const { request, requestId } = exchange;
    const { address } = exchange.client;
    const caller: Caller = {
      ...{ viewer, requestId, address },
      askAgain: async () => askAgain(await services.database.counters()),
    };
    const askAgain = async (now: Counters): Promise<Caller> => {
      const who = await authenticate(request, now, authenticators);
      return { viewer: who.viewer ?? null, requestId, address };
    };
    const signal = wantsStream(request) ? AbortSignal.any([ending, exchange.closed()]) : ending;
    return {
      ...services,
      counters,
      caller,
      unlimited,
      signal,
      askAgain,
      answer: { mayBeKept: false },
      charge: (cost) => budget.take(caller, cost),
      liveBudget: new LiveBudget(signal),
    };
  }

  /** What signing in needs of a request, and how it tells the browser of a session that begins or ends. */
  function sessionOf({ request, response, client: { secure } }: Exchange) {
    const { cookie = '' } = request.headers;
    const local = authenticators.loopback && !wasForwarded(request);
    const set = (value: string | undefined, expiresAt = new Date(0), name?: string) => {
      const written = value === undefined ? clearCookie(name) : writeCookie(value, { expiresAt, secure, name });
      response.appendHeader('Set-Cookie', written);
    };
    const tell = (session: SignedIn | null) => set(session?.token, session?.expiresAt);
    const keep = (pending: Pending | null) => set(pending?.text, pending?.expiresAt, PENDING);
    return { session: { token: readCookie(cookie), local, pending: readCookie(cookie, PENDING), keep }, tell };
  }

  async function answerRest(exchange: Exchange, asker: Asker): Promise<void> {
    const { request, path } = exchange;
    const read = request.method === 'GET' ? rest.reader(path) : undefined;
    if (!read) {
      const context = contextOf(exchange, asker, { unlimited: true });
      const route = (operation: string) => {
        exchange.operation = operation;
      };
      rest.handle(
        request,
        Object.assign(exchange.prepare(), { locals: { context, route, ...sessionOf(exchange) } }) as never,
      );
      return;
    }
    return answerKept(exchange, asker, '', async () => {
      const { status, body } = await read(contextOf(exchange, asker, { unlimited: true }));
      return { answer: { ...jsonAnswer(status, body), operation: `GET ${path}` }, keep: status === 200 };
    });
  }

  async function answerGraphQL(exchange: Exchange, first: Asker): Promise<void> {
    const { request } = exchange;
    const body = await readRaw(request, first.viewer ? maxBody : Math.min(maxBody, MAX_STRANGER_BODY));
    if (!body) return GRAPHQL.refuse(exchange.prepare(), 413, 'the body is too large', { Connection: 'close' });
    // A body may take its time, and what the caller may do may have changed since its headers came.
    const counters = await services.database.counters();
    const isSame = counters.access === first.counters.access && counters.registry === first.counters.registry;
    const who = isSame ? first : await authenticate(request, counters, authenticators);
    if ('problem' in who && who.problem !== undefined) return GRAPHQL.refuse(exchange.prepare(), 401, who.problem);
    const asker = isSame ? first : { viewer: who.viewer ?? null, counters };
    if (wantsStream(request)) {
      const context = contextOf(exchange, asker, { unlimited: false });
      try {
        const answer = await askGraphQL(graphql, { request, body, context });
        return isStream(answer)
          ? await passStream(answer, exchange.prepare())
          : exchange.send(await wholeAnswer(answer));
      } finally {
        context.liveBudget.release();
      }
    }
    return answerKept(exchange, asker, body.toString('latin1'), async () => {
      const context = contextOf(exchange, asker, { unlimited: false });
      const answer = await askGraphQL(graphql, { request, body, context })
        .then(wholeAnswer)
        .finally(() => context.liveBudget.release());
      const { mayBeKept, operation, cost } = context.answer;
      return { answer: { ...answer, operation, cost }, keep: answer.status === 200 && mayBeKept };
    });
  }

  async function answerKept(
    exchange: Exchange,
    { viewer, counters }: Asker,
    body: string,
    compute: () => Promise<Computed>,
  ): Promise<void> {
    const question = questionOf(exchange.request, viewer, body);
    const found = kept.find(counters, question);
    if (!found) return exchange.send(await kept.compute(counters, question, compute));
    const seconds = found.cost ? budget.take({ viewer, address: exchange.client.address }, found.cost) : undefined;
    if (seconds === undefined) return exchange.send(found);
    GRAPHQL.refuse(exchange.prepare(), 429, OVER_BUDGET, { 'Retry-After': String(seconds) });
  }

  /** The metrics, for whoever may read every cluster; without a key they are on a port of their own. */
  async function answerMetrics(exchange: Exchange): Promise<void> {
    const who = await authenticate(exchange.request, await services.database.counters(), authenticators);
    if (!who.viewer) return REST.refuse(exchange.prepare(), 401, who.problem ?? 'Invalid or expired token');
    authorize({ viewer: who.viewer }, 'metrics.read');
    await sendMetrics(metrics, exchange.prepare());
  }

  async function answerReadiness(exchange: Exchange): Promise<void> {
    const [status, text] = (await isReady()) ? [200, 'ok'] : [503, 'unavailable'];
    sendJson(exchange.prepare(), status, { status: text });
  }

  function answerFault(exchange: Exchange, error: unknown): void {
    const { response, requestId, path } = exchange;
    if (response.destroyed) return;
    const refusal = domainErrorOf(error);
    if (!refusal) log.error({ err: error, requestId }, 'a request failed');
    if (response.headersSent) response.destroy();
    else {
      const status = refusal ? ERRORS[refusal.code].status : 500;
      (surfaceOf(path) ?? REST).refuse(exchange.prepare(), status, refusal?.message ?? BROKEN);
    }
  }

  const server = createServer(
    {
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      connectionsCheckingInterval: limits.checkingMs,
      maxHeaderSize: MAX_HEAD,
      optimizeEmptyRequests: true,
    },
    (request, response) => {
      const exchange = new Exchange(request, response, { log, metrics, allowedOrigins, clientOf });
      handle(exchange).catch((error: unknown) => answerFault(exchange, error));
    },
  );
  server.maxConnections = limits.connections;
  return server;
}

function excessOf({ url = '', rawHeaders }: IncomingMessage): { status: 400 | 414 | 431; message: string } | undefined {
  if (url.length > MAX_URL) return { status: 414, message: `the URL is longer than ${MAX_URL} characters` };
  if (rawHeaders.length > 2 * MAX_FIELDS) return { status: 431, message: `more than ${MAX_FIELDS} header fields` };
  // Node takes the first; what stands in front may have taken the other.
  let hosts = 0;
  for (let at = 0; at < rawHeaders.length; at += 2)
    if (rawHeaders[at]?.length === 4 && rawHeaders[at]?.toLowerCase() === 'host') hosts++;
  if (hosts > 1) return { status: 400, message: 'more than one Host' };
  return undefined;
}

/** Masks an error for the REST surface as GraphQL does for its own. */
export function maskFor(log: Logger) {
  return (error: unknown, context: Context) => maskError(error, { log, requestId: context.caller.requestId });
}
