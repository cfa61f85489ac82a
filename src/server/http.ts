import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Config } from '../config.ts';
import type { ApiKeys } from '../domain/access/api-keys.ts';
import { domainErrorOf } from '../domain/errors.ts';
import type { Context, Services } from '../graphql/context.ts';
import { maskError } from '../graphql/errors.ts';
import type { createGraphQL } from '../graphql/yoga.ts';
import type { Logger } from '../log.ts';
import type { Rest } from '../rest/router.ts';
import { jsonAnswer, sendJson } from './answer.ts';
import { authenticate } from './authenticate.ts';
import { askGraphQL, isStream, passStream, readRaw, wholeAnswer } from './graphql-endpoint.ts';
import { type Computed, KeptAnswers } from './kept.ts';
import { corsHeaders, crossSiteRefusal, isOurHost } from './origin.ts';
import { questionOf, sendAnswer } from './question.ts';
import { GRAPHQL, REST, surfaceOf } from './surface.ts';

export interface ServerOptions {
  readonly config: Pick<Config, 'loopback' | 'allowedHosts' | 'allowedOrigins' | 'maxBody'>;
  readonly log: Logger;
  readonly apiKeys: ApiKeys;
  readonly services: Services;
  readonly graphql: ReturnType<typeof createGraphQL>;
  readonly rest: Rest;
}

interface Exchange extends ServerOptions {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly requestId: string;
  readonly path: string;
  readonly kept: KeptAnswers;
}

const BROKEN = 'Something went wrong on our side; the log has it under this request id';

/** The HTTP server: a request is checked and authenticated once here, before the two surfaces part. */
export function createHttpServer(options: ServerOptions): Server {
  const kept = new KeptAnswers();
  return createServer({ requestTimeout: 60_000, headersTimeout: 30_000 }, (request, response) => {
    const exchange = { ...options, request, response, kept, requestId: randomUUID(), path: pathOf(request) };
    logWhenClosed(exchange);
    handle(exchange).catch((error: unknown) => answerFault(exchange, error));
  });
}

async function handle(exchange: Exchange): Promise<void> {
  const { config, apiKeys, services, request, response, path, requestId } = exchange;
  setCommonHeaders(exchange);
  const surface = surfaceOf(path);
  if (!isOurHost(request, config))
    return (surface ?? REST).refuse(
      response,
      421,
      'this host is not served here: use localhost or an IP address, or set ALLOWED_HOSTS',
    );
  if (request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined) {
    response.writeHead(204).end();
    return;
  }
  if (path === '/healthz') return sendJson(response, 200, { status: 'ok' });
  if (path === '/readyz') return answerReadiness(exchange);
  if (!surface) return REST.refuse(response, 404, 'not found');

  const counters = services.database.counters();
  const who = await authenticate(request, { apiKeys, access: counters.access, loopback: config.loopback });
  const stranger = surface === REST && !who.viewer ? 'Invalid or expired token' : undefined;
  const problem = who.problem ?? stranger;
  if (problem !== undefined) return surface.refuse(response, 401, problem, { 'WWW-Authenticate': 'Bearer' });
  const refusal = who.byKey ? undefined : crossSiteRefusal(request, config.allowedOrigins);
  if (refusal) return surface.refuse(response, refusal.status, refusal.message);

  const context: Context = {
    ...services,
    counters,
    caller: { viewer: who.viewer ?? null, requestId },
    unlimited: surface === REST,
    answer: { mayBeKept: false },
  };
  return surface === REST ? answerRest(exchange, context) : answerGraphQL(exchange, context);
}

async function answerRest(exchange: Exchange, context: Context): Promise<void> {
  const { rest, request, response, path } = exchange;
  const read = request.method === 'GET' ? rest.reader(path) : undefined;
  if (!read) {
    Object.assign(response, { locals: { context } });
    rest.handle(request, response as never);
    return;
  }
  await answerKept(exchange, context, '', async () => {
    const { status, body } = await read(context);
    return { answer: jsonAnswer(status, body), keep: status === 200 };
  });
}

async function answerGraphQL(exchange: Exchange, context: Context): Promise<void> {
  const { config, graphql, request, response } = exchange;
  const body = await readRaw(request, config.maxBody);
  if (!body) return GRAPHQL.refuse(response, 413, 'the body is too large', { Connection: 'close' });
  const ask = () => askGraphQL(graphql, { request, response, body, context });
  if (request.headers.accept?.includes('text/event-stream')) {
    const answer = await ask();
    return isStream(answer) ? passStream(answer, response) : sendAnswer(request, response, await wholeAnswer(answer));
  }
  await answerKept(exchange, context, body.toString('latin1'), async () => {
    const answer = await wholeAnswer(await ask());
    return { answer, keep: answer.status === 200 && context.answer.mayBeKept };
  });
}

async function answerKept(
  { kept, request, response }: Exchange,
  { caller, counters }: Context,
  body: string,
  compute: () => Promise<Computed>,
): Promise<void> {
  const question = questionOf(request, caller.viewer, body);
  const answer = kept.find(counters, question) ?? (await kept.compute(counters, question, compute));
  sendAnswer(request, response, answer);
}

async function answerReadiness({ services, log, response }: Exchange): Promise<void> {
  try {
    await services.database.check();
    sendJson(response, 200, { status: 'ok' });
  } catch (error) {
    log.error({ err: error }, 'the database is not available');
    sendJson(response, 503, { status: 'unavailable' });
  }
}

function answerFault({ log, response, requestId, path }: Exchange, error: unknown): void {
  if (response.destroyed) return;
  const unavailable = domainErrorOf(error);
  if (!unavailable) log.error({ err: error, requestId }, 'a request failed');
  if (response.headersSent) response.destroy();
  else (surfaceOf(path) ?? REST).refuse(response, unavailable ? 503 : 500, unavailable?.message ?? BROKEN);
}

function setCommonHeaders({ config, request, response, requestId }: Exchange): void {
  response.setHeader('x-request-id', requestId);
  response.setHeader('X-Content-Type-Options', 'nosniff');
  response.setHeader('Referrer-Policy', 'no-referrer');
  const ofOrigin = config.allowedOrigins.length > 0;
  response.setHeader('Vary', ofOrigin ? 'Authorization, Cookie, Accept, Origin' : 'Authorization, Cookie, Accept');
  if (!ofOrigin) return;
  for (const [name, value] of Object.entries(corsHeaders(request, config.allowedOrigins) ?? {}))
    response.setHeader(name, value);
}

function logWhenClosed({ log, request, response, requestId, path }: Exchange): void {
  const began = performance.now();
  response.once('close', () => {
    const ms = Math.round((performance.now() - began) * 100) / 100;
    const aborted = response.writableFinished ? {} : { aborted: true };
    log.info({ requestId, method: request.method, path, status: response.statusCode, ms, ...aborted }, 'request');
  });
}

function pathOf(request: IncomingMessage): string {
  const url = request.url ?? '/';
  const query = url.indexOf('?');
  return query < 0 ? url : url.slice(0, query);
}

/** Masks an error for the REST surface as GraphQL does for its own. */
export function maskFor(log: Logger) {
  return (error: unknown, context: Context) => maskError(error, { log, requestId: context.caller.requestId });
}
