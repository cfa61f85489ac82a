import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Config } from '../config.ts';
import type { ApiKeys } from '../domain/access/api-keys.ts';
import { domainErrorOf } from '../domain/errors.ts';
import type { Context, Services } from '../graphql/context.ts';
import { maskError } from '../graphql/errors.ts';
import type { createGraphQL } from '../graphql/yoga.ts';
import type { Logger } from '../log.ts';
import type { createRest } from '../rest/router.ts';
import { refuse, sendJson } from './answer.ts';
import { authenticate } from './authenticate.ts';
import { answerGraphQL, readRaw } from './graphql-endpoint.ts';
import { corsHeaders, crossSiteRefusal, isOurHost } from './origin.ts';

export interface ServerOptions {
  readonly config: Pick<Config, 'loopback' | 'allowedHosts' | 'allowedOrigins' | 'maxBody'>;
  readonly log: Logger;
  readonly apiKeys: ApiKeys;
  readonly services: Services;
  readonly graphql: ReturnType<typeof createGraphQL>;
  readonly rest: ReturnType<typeof createRest>;
}

const SECURITY_HEADERS = { 'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'no-referrer' };

/** The HTTP server: a request is checked and authenticated once here, before the two surfaces part. */
export function createHttpServer(options: ServerOptions): Server {
  const { log } = options;
  const server = createServer({ requestTimeout: 60_000, headersTimeout: 30_000 }, (request, response) => {
    const requestId = randomUUID();
    const began = performance.now();
    response.setHeader('x-request-id', requestId);
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value);
    response.once('close', () => {
      log.info(
        {
          requestId,
          method: request.method,
          path: pathOf(request),
          status: response.statusCode,
          ms: Math.round((performance.now() - began) * 100) / 100,
          ...(response.writableFinished ? {} : { aborted: true }),
        },
        'request',
      );
    });
    handle(options, request, response, requestId).catch((error: unknown) => {
      if (response.destroyed) return;
      const refusal = domainErrorOf(error);
      if (!refusal) log.error({ err: error, requestId }, 'a request failed');
      if (response.headersSent) response.destroy();
      else if (refusal?.code === 'UNAVAILABLE') refuse(response, 503, refusal.message);
      else refuse(response, 500, 'Something went wrong on our side; the log has it under this request id');
    });
  });
  return server;
}

async function handle(
  options: ServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
  requestId: string,
): Promise<void> {
  const { config, apiKeys, services, graphql, rest } = options;
  if (!isOurHost(request, config))
    return refuse(response, 421, 'this host is not served here: use localhost or an IP address, or set ALLOWED_HOSTS');
  const cors = corsHeaders(request, config.allowedOrigins);
  for (const [name, value] of Object.entries(cors ?? {})) response.setHeader(name, value);
  response.setHeader(
    'Vary',
    config.allowedOrigins.length > 0 ? 'Authorization, Cookie, Accept, Origin' : 'Authorization, Cookie, Accept',
  );
  if (request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined) {
    response.writeHead(204).end();
    return;
  }

  const path = pathOf(request);
  if (path === '/healthz') return sendJson(response, 200, { status: 'ok' });
  if (path === '/readyz') return answerReadiness(options, response);
  const isRest = path === '/api' || path.startsWith('/api/');
  if (!isRest && path !== '/graphql') return refuse(response, 404, 'not found');

  const counters = services.database.counters();
  const who = await authenticate(request, { apiKeys, access: counters.access, loopback: config.loopback });
  const challenge = { 'WWW-Authenticate': 'Bearer' };
  if (who.problem !== undefined)
    return isRest
      ? refuse(response, 401, who.problem, challenge)
      : sendJson(
          response,
          401,
          { errors: [{ message: who.problem, extensions: { code: 'UNAUTHENTICATED' } }] },
          challenge,
        );
  if (isRest && !who.viewer) return refuse(response, 401, 'Invalid or expired token', challenge);
  const refusal = who.byKey ? undefined : crossSiteRefusal(request, config.allowedOrigins);
  if (refusal)
    return isRest
      ? refuse(response, refusal.status, refusal.message)
      : sendJson(response, refusal.status, {
          errors: [{ message: refusal.message, extensions: { code: 'BAD_REQUEST' } }],
        });

  const context: Context = { ...services, caller: { viewer: who.viewer, requestId }, counters, unlimited: isRest };
  if (isRest) {
    Object.assign(response, { locals: { context } });
    rest(request as never, response as never);
    return;
  }
  const body = await readRaw(request, config.maxBody);
  if (!body)
    return sendJson(
      response,
      413,
      { errors: [{ message: 'the body is too large', extensions: { code: 'BAD_REQUEST' } }] },
      { Connection: 'close' },
    );
  await answerGraphQL(graphql, { request, response, body, context });
}

async function answerReadiness({ services, log }: ServerOptions, response: ServerResponse): Promise<void> {
  try {
    await services.database.check();
    sendJson(response, 200, { status: 'ok' });
  } catch (error) {
    log.error({ err: error }, 'the database is not available');
    sendJson(response, 503, { status: 'unavailable' });
  }
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
