import { createServer, type Server } from 'node:http';
import type { Config } from '../config.ts';
import type { ApiKeys } from '../domain/access/api-keys.ts';
import type { Viewer } from '../domain/access/viewer.ts';
import { LiveBudget } from '../domain/clusters/live.ts';
import { domainErrorOf } from '../domain/errors.ts';
import type { Context, Services } from '../graphql/context.ts';
import { maskError } from '../graphql/errors.ts';
import type { createGraphQL } from '../graphql/yoga.ts';
import type { Logger } from '../log.ts';
import type { Rest } from '../rest/router.ts';
import type { Counters } from '../storage/database.ts';
import { jsonAnswer, sendJson } from './answer.ts';
import { authenticate } from './authenticate.ts';
import { Exchange } from './exchange.ts';
import { askGraphQL, isStream, passStream, readRaw, wantsStream, wholeAnswer } from './graphql-endpoint.ts';
import { type Computed, KeptAnswers } from './kept.ts';
import { crossSiteRefusal, ourHosts } from './origin.ts';
import { pageFor } from './pages.ts';
import { questionOf } from './question.ts';
import { GRAPHQL, REST, surfaceOf } from './surface.ts';

export interface ServerOptions {
  readonly config: Pick<Config, 'loopback' | 'allowedHosts' | 'allowedOrigins' | 'maxBody'>;
  readonly log: Logger;
  readonly apiKeys: ApiKeys;
  readonly services: Services;
  readonly graphql: ReturnType<typeof createGraphQL>;
  readonly rest: Rest;
  /** Aborted when the server ends: streams end with it. */
  readonly ending: AbortSignal;
}

/** Who asks, and the counters as they were when the request arrived. */
interface Asker {
  readonly viewer: Viewer | null;
  readonly counters: Counters;
}

const NOT_OUR_HOST = 'this host is not served here: use localhost or an IP address, or set ALLOWED_HOSTS';
const BROKEN = 'Something went wrong on our side; the log has it under this request id';

/** The HTTP server: a request is checked and authenticated once here, before the two surfaces part. */
export function createHttpServer(options: ServerOptions): Server {
  const { config, log, apiKeys, services, graphql, rest, ending } = options;
  const kept = new KeptAnswers();
  const isOurs = ourHosts(config);
  const { allowedOrigins, loopback, maxBody } = config;

  async function handle(exchange: Exchange): Promise<void> {
    const { request, path } = exchange;
    const surface = surfaceOf(path);
    if (!isOurs(request)) return (surface ?? REST).refuse(exchange.prepare(), 421, NOT_OUR_HOST);
    if (request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined) {
      exchange.prepare().writeHead(204).end();
      return;
    }
    const page = pageFor(request, path);
    if (page) return page(request, exchange.prepare());
    if (path === '/healthz') return sendJson(exchange.prepare(), 200, { status: 'ok' });
    if (path === '/readyz') return answerReadiness(exchange);
    if (!surface) return REST.refuse(exchange.prepare(), 404, 'not found');

    const counters = services.database.counters();
    const asked = authenticate(request, { apiKeys, access: counters.access, loopback });
    // No turn of the loop between a request and its kept answer: waiting costs as much as the answer.
    const who = asked instanceof Promise ? await asked : asked;
    const problem = who.problem ?? (surface === REST && !who.viewer ? 'Invalid or expired token' : undefined);
    if (problem !== undefined)
      return surface.refuse(exchange.prepare(), 401, problem, { 'WWW-Authenticate': 'Bearer' });
    const refusal = who.byKey ? undefined : crossSiteRefusal(request, allowedOrigins);
    if (refusal) return surface.refuse(exchange.prepare(), refusal.status, refusal.message);

    const asker = { viewer: who.viewer ?? null, counters };
    return surface === REST ? answerRest(exchange, asker) : answerGraphQL(exchange, asker);
  }

  function contextOf(exchange: Exchange, { viewer, counters }: Asker, { unlimited }: { unlimited: boolean }): Context {
    const { request, requestId } = exchange;
    const askAgain = async (access: number) => {
      const who = await authenticate(request, { apiKeys, access, loopback });
      return { viewer: who.viewer ?? null, requestId };
    };
    const signal = wantsStream(request) ? AbortSignal.any([ending, exchange.closed()]) : ending;
    return {
      ...services,
      counters,
      caller: { viewer, requestId },
      unlimited,
      signal,
      askAgain,
      answer: { mayBeKept: false },
      liveBudget: new LiveBudget(signal),
    };
  }

  async function answerRest(exchange: Exchange, asker: Asker): Promise<void> {
    const { request, path } = exchange;
    const read = request.method === 'GET' ? rest.reader(path) : undefined;
    if (!read) {
      const context = contextOf(exchange, asker, { unlimited: true });
      rest.handle(request, Object.assign(exchange.prepare(), { locals: { context } }) as never);
      return;
    }
    return answerKept(exchange, asker, '', async () => {
      const { status, body } = await read(contextOf(exchange, asker, { unlimited: true }));
      return { answer: jsonAnswer(status, body), keep: status === 200 };
    });
  }

  async function answerGraphQL(exchange: Exchange, asker: Asker): Promise<void> {
    const { request } = exchange;
    const body = await readRaw(request, maxBody);
    if (!body) return GRAPHQL.refuse(exchange.prepare(), 413, 'the body is too large', { Connection: 'close' });
    if (wantsStream(request)) {
      const context = contextOf(exchange, asker, { unlimited: false });
      const answer = await askGraphQL(graphql, { request, body, context });
      return isStream(answer) ? passStream(answer, exchange.prepare()) : exchange.send(await wholeAnswer(answer));
    }
    return answerKept(exchange, asker, body.toString('latin1'), async () => {
      const context = contextOf(exchange, asker, { unlimited: false });
      const answer = await wholeAnswer(await askGraphQL(graphql, { request, body, context }));
      return { answer, keep: answer.status === 200 && context.answer.mayBeKept };
    });
  }

  async function answerKept(
    exchange: Exchange,
    { viewer, counters }: Asker,
    body: string,
    compute: () => Promise<Computed>,
  ): Promise<void> {
    const question = questionOf(exchange.request, viewer, body);
    exchange.send(kept.find(counters, question) ?? (await kept.compute(counters, question, compute)));
  }

  async function answerReadiness(exchange: Exchange): Promise<void> {
    try {
      await services.database.check();
      sendJson(exchange.prepare(), 200, { status: 'ok' });
    } catch (error) {
      log.error({ err: error }, 'the database is not available');
      sendJson(exchange.prepare(), 503, { status: 'unavailable' });
    }
  }

  function answerFault(exchange: Exchange, error: unknown): void {
    const { response, requestId, path } = exchange;
    if (response.destroyed) return;
    const unavailable = domainErrorOf(error);
    if (!unavailable) log.error({ err: error, requestId }, 'a request failed');
    if (response.headersSent) response.destroy();
    else (surfaceOf(path) ?? REST).refuse(exchange.prepare(), unavailable ? 503 : 500, unavailable?.message ?? BROKEN);
  }

  return createServer({ requestTimeout: 60_000, headersTimeout: 30_000 }, (request, response) => {
    const exchange = new Exchange(request, response, { log, allowedOrigins });
    handle(exchange).catch((error: unknown) => answerFault(exchange, error));
  });
}

/** Masks an error for the REST surface as GraphQL does for its own. */
export function maskFor(log: Logger) {
  return (error: unknown, context: Context) => maskError(error, { log, requestId: context.caller.requestId });
}
