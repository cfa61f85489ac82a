import type { IncomingMessage, ServerResponse } from 'node:http';
import express, { type ErrorRequestHandler, type Express, type Request, type Response } from 'express';
import type { GraphQLError } from 'graphql';
import type { z } from 'zod';
import { requireActionOnSome, requireViewer } from '../domain/access/permissions.ts';
import type { ErrorCode } from '../domain/errors.ts';
import { AUDITED } from '../graphql/audit-refusals.ts';
import type { Context } from '../graphql/context.ts';
import { rootFieldOf } from '../graphql/document-facts.ts';
import { ERRORS } from '../graphql/errors.ts';
import { executeDocument } from '../graphql/execute.ts';
import { describeJsonExcess } from '../graphql/json-limits.ts';
import { HttpError } from '../http-error.ts';
import { MAX_ANONYMOUS_BODY, parseFields } from './body.ts';
import { jsonPages, type ListPage, type ReadList, type ReadPage, readList } from './lists.ts';
import { ROWS } from './routes.ts';
import type { Row } from './row.ts';
import { isPublic, SIGN_IN_ROUTES, type SignInRoute } from './sign-in.ts';

/** A row without the types of its document: the router only passes values between the row's functions. */
type AnyRow = Row<Record<string, object>, Record<string, unknown>>;

export interface RestOptions {
  readonly maxBody: number;
  /** Converts any error to the one that the caller sees. Shared with GraphQL. */
  readonly mask: (error: unknown, context: Context) => GraphQLError;
}

/** The response of a row: its status, and the body to serialize as JSON. */
export interface RestResponse {
  readonly status: number;
  readonly body: unknown;
  /** The `Retry-After` header of an error, in seconds. */
  readonly retryAfter?: number | undefined;
}

/** A list that is read in pages. */
export interface RestList {
  /** Reads the list up to `maxBytes`, or returns an error response. */
  readonly read: (context: Context, options: Parameters<typeof readList>[2]) => Promise<ReadList | RestResponse>;
  /** Reads the list from its start, one page at a time. Throws instead of returning an error response. */
  readonly pages: (context: Context) => AsyncGenerator<Buffer>;
}

export interface Rest {
  /**
   * Handles any request under /api. Resolves when the handler has finished, which may be after the client disconnected.
   * The server has authenticated the caller. `locals` contain the context and functions to read the body, to send the
   * response, to set the session cookie and to report the route to the metrics.
   */
  readonly handle: (request: IncomingMessage, response: ServerResponse, locals: object) => Promise<void>;
  /**
   * Finds the list at a path, so that the server can read it through its response cache; undefined if the path has
   * none.
   */
  readonly list: (path: string) => RestList | undefined;
  /** Whether an anonymous caller may call the route. */
  readonly isPublic: (method: string, path: string) => boolean;
}

/** The REST API: each row of the table executes its GraphQL document in process. */
export function createRest({ maxBody, mask }: RestOptions): Rest {
  const lists = new Map<string, RestList>();
  for (const row of ROWS as unknown as AnyRow[]) {
    if (!row.next) continue;
    const pages = (context: Context) => jsonPages(context, (...args) => readPage(row, ...args));
    const read: RestList['read'] = (context, options) =>
      readList(context, () => pages(context), options).catch((error: unknown) => {
        const { message, ...response } = toErrorResponse(error, mask, context);
        return { ...response, body: { error: message } };
      });
    const list = { read, pages };
    lists.set(row.path, list).set(row.path.replace(/\/$/, ''), list);
  }
  const router = createRouter({ maxBody, mask });
  const handle: Rest['handle'] = (request, response, locals) =>
    new Promise((finish) =>
      router(request as Request, Object.assign(response, { locals: { ...locals, finish } }) as never),
    );
  return { handle, list: (path) => lists.get(path), isPublic };
}

/** Reads a page of a list. Checks the caller's roles again for each page, because a client may read a list slowly. */
async function readPage(row: AnyRow, context: Context, position: Parameters<ReadPage>[1]): Promise<ListPage> {
  const current = position ? await refresh(context) : context;
  requireAccess(row, current);
  const data = await executeRow(row, { id: 0, body: {}, after: position?.after }, current);
  const first = position?.first ?? data;
  const [result] = Object.values(data);
  const items = row.toBody(result as never, first as never) as readonly unknown[];
  return { items, next: row.next?.(result as never) ?? null, first };
}

/** Requires the role admin for admin routes: custom roles do not grant them. Other routes require a viewer. */
function requireAccess({ who }: AnyRow, { caller }: Context): void {
  if (who === 'admin') requireActionOnSome(caller, 'rest.use');
  else requireViewer(caller);
}

/** Like `requireAccess`, but records a rejected mutation in the audit log. */
async function requireAuditedAccess(row: AnyRow, request: Request, context: Context): Promise<void> {
  try {
    requireAccess(row, context);
  } catch (error) {
    const action = AUDITED[rootFieldOf(row.document, undefined).split(' ')[1] ?? ''];
    const databaseId = Number(request.params.id);
    const by = row.of === 'cluster' && databaseId > 0 && databaseId < 2 ** 31 ? { databaseId } : undefined;
    if (action) await context.auditLog.refused(context.caller, { action, outcome: 'FORBIDDEN', by });
    throw error;
  }
}

function createRouter({ maxBody, mask }: RestOptions): Express {
  const app = express();
  app.disable('x-powered-by').disable('etag').enable('case sensitive routing');
  app.use((request, _response, next) => {
    // Express rejects a path that it cannot decode. Escape it, so that it is handled as an unknown path or invalid id.
    if (!isDecodable(request.url)) request.url = request.url.replaceAll('%', '%25');
    next();
  });
  const byPath = Map.groupBy(ROWS as unknown as AnyRow[], ({ path }) => path);
  // Register `…/import` before `…/:id`, which matches it too.
  const paths = [...byPath].sort(([left], [right]) => Number(left.includes(':')) - Number(right.includes(':')));
  for (const [path, rows] of paths) {
    for (const row of rows)
      app[row.method](
        path,
        async (request, response, next) => {
          response.locals.route(`${row.method.toUpperCase()} ${row.path}`);
          await requireAuditedAccess(row, request, contextOf(response));
          next();
        },
        withFinish((request, response) => handleRow(row, request, response, maxBody)),
      );
    app.all(path, (request, _response, next) => {
      // For PUT and DELETE, `import` is an invalid cluster id (400): leave them to `…/:id`.
      if (path.endsWith('import') && ['PUT', 'DELETE'].includes(request.method)) return next();
      const allowed = rows.flatMap(({ method }) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()]));
      request.res?.setHeader('Allow', allowed.join(', '));
      throw new HttpError(405, `method ${request.method} not allowed`);
    });
  }
  for (const route of SIGN_IN_ROUTES) {
    app[route.method](
      route.path,
      withFinish((request, response) => handleSignIn(route, request, response, maxBody)),
    );
    app.all(route.path, (request, response) => {
      response.setHeader('Allow', route.method === 'get' ? 'GET, HEAD' : 'POST');
      throw new HttpError(405, `method ${request.method} not allowed`);
    });
  }
  app.use(() => {
    throw new HttpError(404, 'API endpoint not found');
  });
  app.use(errorHandler(mask));
  return app;
}

/**
 * Calls `finish` after the handler, because Express does not report its end. `errorHandler` calls it if the handler
 * throws.
 */
function withFinish(handler: (request: Request, response: Response) => Promise<void>) {
  return async (request: Request, response: Response) => {
    await handler(request, response);
    response.locals.finish();
  };
}

async function handleSignIn(route: SignInRoute, request: Request, response: Response, maxBody: number): Promise<void> {
  const { setSession, session } = response.locals;
  response.locals.route(`${route.method.toUpperCase()} ${route.path}`);
  // Do not decompress a body for an anonymous caller: it may expand to a thousand times its size.
  const isOpen = route.who === 'anyone';
  const limits = { maxBytes: isOpen ? Math.min(maxBody, MAX_ANONYMOUS_BODY) : maxBody, decode: !isOpen };
  const parsed = route.body ? parseFields(route.body, await readJson(response, limits)) : { value: {} };
  if (parsed.problem !== undefined) throw new HttpError(400, parsed.problem);
  const query = new URLSearchParams(request.url.split('?')[1]);
  const result = await route.handle({
    context: route.body ? await refresh(contextOf(response)) : contextOf(response),
    body: parsed.value,
    query,
    ...session,
  });
  if (result.session !== undefined) setSession(result.session);
  if (result.location !== undefined) response.setHeader('Location', result.location);
  response.setHeader('Cache-Control', 'no-store');
  response.status(result.status);
  if (result.body === undefined) response.end();
  else response.json(result.body);
}

async function handleRow(row: AnyRow, request: Request, response: Response, maxBody: number): Promise<void> {
  const id = readId(row, request);
  const limits = { maxBytes: maxBody, decode: true };
  const parsed = row.body ? parseFields(row.body as z.ZodObject, await readJson(response, limits)) : { value: {} };
  if (parsed.problem !== undefined) throw new HttpError(400, parsed.problem);
  if (row.body) await reauthorize(row, request, response);
  const { status, body } = await execute(row, { id, body: parsed.value }, contextOf(response));
  response.locals.reply(status, body);
}

/**
 * Checks the caller again after a slow body: the key may have been revoked since the headers arrived, or a role
 * removed.
 */
async function reauthorize(row: AnyRow, request: Request, response: Response): Promise<void> {
  const before = contextOf(response);
  const context = await refresh(before);
  if (context === before) return;
  response.locals.context = context;
  if (!context.caller.viewer)
    throw new HttpError(401, before.caller.viewer?.kind === 'API_KEY' ? 'Invalid API key' : 'Invalid or expired token');
  await requireAuditedAccess(row, request, context);
}

/** Returns the context with the caller's current roles; the same object if nothing has changed since it was created. */
async function refresh(context: Context): Promise<Context> {
  const counters = await context.database.counters();
  const { access, registry } = context.counters;
  if (counters.access === access && counters.registry === registry) return context;
  return { ...context, counters, caller: await context.refresh(counters) };
}

async function execute(
  row: AnyRow,
  request: Parameters<AnyRow['variables']>[0],
  context: Context,
): Promise<RestResponse> {
  const data = await executeRow(row, request, context);
  const [result] = Object.values(data);
  if (result && 'code' in result) {
    const { code, message } = result as { code: ErrorCode; message: string };
    throw new HttpError(ERRORS[code].status, message);
  }
  return { status: row.status, body: row.toBody(result as never, data as never) };
}

async function executeRow(row: AnyRow, request: Parameters<AnyRow['variables']>[0], context: Context) {
  const { data, errors } = await executeDocument(row.document, row.variables(request), context);
  if (errors?.[0]) throw errors[0];
  return data ?? {};
}

function contextOf(response: Response): Context {
  return response.locals.context as Context;
}

/** Reads `:id`, a positive integer below 2^31. Returns 0 if the path has no id. */
function readId({ of }: AnyRow, request: Request): number {
  const text = request.params.id;
  if (text === undefined) return 0;
  const id = /^[0-9]+$/.test(String(text)) ? Number(text) : 0;
  if (id < 1 || id >= 2 ** 31) throw new HttpError(400, `invalid ${of} id`);
  return id;
}

function isDecodable(url: string): boolean {
  try {
    decodeURIComponent(url);
    return true;
  } catch {
    return false;
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });

async function readJson(response: Response, limits: { maxBytes: number; decode: boolean }): Promise<unknown> {
  const bytes: Buffer = await response.locals.readBody(limits);
  const excess = describeJsonExcess(bytes, 'the body');
  if (excess !== undefined) throw new HttpError(400, excess);
  try {
    return JSON.parse(UTF8.decode(bytes));
  } catch {
    throw new HttpError(400, 'the body is not valid JSON');
  }
}

function errorHandler(mask: RestOptions['mask']): ErrorRequestHandler {
  return (error, _request, response, _next) => {
    const { status, message, retryAfter, close } = toErrorResponse(error, mask, contextOf(response));
    if (close && !response.headersSent) response.setHeader('Connection', 'close');
    if (retryAfter !== undefined && !response.headersSent) response.setHeader('Retry-After', String(retryAfter));
    if (response.headersSent) response.destroy();
    else response.status(status).json({ error: message });
    response.locals.finish();
  };
}

interface ErrorResponse {
  readonly status: number;
  readonly message: string;
  /** Seconds. */
  readonly retryAfter?: number | undefined;
  readonly close?: boolean;
}

function toErrorResponse(error: unknown, mask: RestOptions['mask'], context: Context): ErrorResponse {
  if (error instanceof HttpError) {
    const { status, message, retryAfter, close } = error;
    return { status, message, retryAfter, close };
  }
  const { message, extensions } = mask(error, context);
  const code = extensions.code as ErrorCode | 'INTERNAL';
  const { retryAfterSeconds } = extensions;
  return {
    ...{ status: code === 'INTERNAL' ? 500 : (ERRORS[code]?.status ?? 500), message },
    ...(typeof retryAfterSeconds === 'number' ? { retryAfter: retryAfterSeconds } : {}),
  };
}
