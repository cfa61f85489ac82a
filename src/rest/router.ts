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
import { type ListPage, pagesOf, type ReadList, type ReadPage, readList, Turns } from './lists.ts';
import { ROWS } from './routes.ts';
import type { Row } from './row.ts';
import { isPublic, SIGN_IN_ROUTES, type SignInRoute } from './sign-in.ts';

/** The row as the router sees it: the types of its document stay between its own functions. */
type AnyRow = Row<Record<string, object>, Record<string, unknown>>;

export interface RestOptions {
  readonly maxBody: number;
  /** The one exit of errors, shared with GraphQL. */
  readonly mask: (error: unknown, context: Context) => GraphQLError;
}

/** What a row answers: its status, and a body for JSON. */
export interface RestAnswer {
  readonly status: number;
  readonly body: unknown;
  /** Seconds, of an answer that is refused for now. */
  readonly retryAfter?: number | undefined;
}

/** A list that is read in pages. */
export interface RestList {
  /** The list as far as `maxBytes`, or how the request is refused. */
  readonly read: (context: Context, options: Parameters<typeof readList>[2]) => Promise<ReadList | RestAnswer>;
  /** The list from its start, a page at a time, for a caller to whom `read` has given it before. */
  readonly pages: (context: Context) => AsyncGenerator<Buffer>;
}

export interface Rest {
  /**
   * Answers any request under /api, and resolves when its work has ended, which may be after its client has left.
   * The server has authenticated the caller; `locals` hold the context, how to read the body and to answer, and whom to tell the route.
   */
  readonly handle: (request: IncomingMessage, response: ServerResponse, locals: object) => Promise<void>;
  /** How a GET or HEAD of this list is answered without a request at hand, and may be kept; undefined for any other path. */
  readonly list: (path: string) => RestList | undefined;
  /** Whether a request may come from a stranger. */
  readonly isPublic: (method: string, path: string) => boolean;
}

/** The REST surface: each row of the table executes its document in process. */
export function createRest({ maxBody, mask }: RestOptions): Rest {
  const lists = new Map<string, RestList>();
  const turns = new Turns();
  for (const row of ROWS as unknown as AnyRow[]) {
    if (!row.next) continue;
    const pages = (context: Context) => pagesOf(context, (...place) => readPage(row, ...place), turns);
    const read: RestList['read'] = (context, options) =>
      readList(context, () => pages(context), options).catch((error: unknown) => {
        const { message, ...described } = describe(error, mask, context);
        return { ...described, body: { error: message } };
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

/** A page of a list, for the caller as they are now: a list may take its time. */
async function readPage(row: AnyRow, context: Context, place: Parameters<ReadPage>[1]): Promise<ListPage> {
  const now = place ? await refresh(context) : context;
  admit(row, now);
  const data = await executeRow(row, { id: 0, body: {}, after: place?.after }, now);
  const first = place?.first ?? data;
  const [result] = Object.values(data);
  const items = row.answer(result as never, first as never) as readonly unknown[];
  return { items, next: row.next?.(result as never) ?? null, first };
}

/** Only admins use the routes of the registry: no role of one's own opens them. */
function admit({ who }: AnyRow, { caller }: Context): void {
  if (who === 'admin') requireActionOnSome(caller, 'rest.use');
  else requireViewer(caller);
}

/** As `admit`, for a change: being refused leaves a record. */
async function admitChange(row: AnyRow, request: Request, context: Context): Promise<void> {
  try {
    admit(row, context);
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
    // A segment that cannot be decoded names nothing; it is no fault of the path.
    if (!isDecodable(request.url)) request.url = request.url.replaceAll('%', '%25');
    next();
  });
  const byPath = Map.groupBy(ROWS as unknown as AnyRow[], ({ path }) => path);
  // The fixed path stands before the parameter that would take it.
  const paths = [...byPath].sort(([left], [right]) => Number(left.includes(':')) - Number(right.includes(':')));
  for (const [path, rows] of paths) {
    for (const row of rows)
      app[row.method](
        path,
        async (request, response, next) => {
          response.locals.route(`${row.method.toUpperCase()} ${row.path}`);
          await admitChange(row, request, contextOf(response));
          next();
        },
        finishing((request, response) => answer(row, request, response, maxBody)),
      );
    app.all(path, (request, _response, next) => {
      // PUT and DELETE of `…/import` are those of an id that is none.
      if (path.endsWith('import') && ['PUT', 'DELETE'].includes(request.method)) return next();
      const allowed = rows.flatMap(({ method }) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()]));
      request.res?.setHeader('Allow', allowed.join(', '));
      throw new HttpError(405, `method ${request.method} not allowed`);
    });
  }
  for (const route of SIGN_IN_ROUTES) {
    app[route.method](
      route.path,
      finishing((request, response) => answerSignIn(route, request, response, maxBody)),
    );
    app.all(route.path, (request, response) => {
      response.setHeader('Allow', route.method === 'get' ? 'GET, HEAD' : 'POST');
      throw new HttpError(405, `method ${request.method} not allowed`);
    });
  }
  app.use(() => {
    throw new HttpError(404, 'API endpoint not found');
  });
  app.use(errorAnswer(mask));
  return app;
}

/** Express does not tell when a handler has ended; `errorAnswer` finishes one that fails. */
function finishing(handler: (request: Request, response: Response) => Promise<void>) {
  return async (request: Request, response: Response) => {
    await handler(request, response);
    response.locals.finish();
  };
}

async function answerSignIn(route: SignInRoute, request: Request, response: Response, maxBody: number): Promise<void> {
  const { tell, session } = response.locals;
  response.locals.route(`${route.method.toUpperCase()} ${route.path}`);
  // Nothing is unpacked for an anonymous caller: the work it is may be a thousand times what was sent.
  const isOpen = route.who === 'anyone';
  const limits = { maxBytes: isOpen ? Math.min(maxBody, MAX_ANONYMOUS_BODY) : maxBody, decode: !isOpen };
  const given = route.body ? parseFields(route.body, await readJson(response, limits)) : { value: {} };
  if (given.problem !== undefined) throw new HttpError(400, given.problem);
  const query = new URLSearchParams(request.url.split('?')[1]);
  const answered = await route.answer({
    context: route.body ? await refresh(contextOf(response)) : contextOf(response),
    body: given.value,
    query,
    ...session,
  });
  if (answered.session !== undefined) tell(answered.session);
  if (answered.location !== undefined) response.setHeader('Location', answered.location);
  response.setHeader('Cache-Control', 'no-store');
  response.status(answered.status);
  if (answered.body === undefined) response.end();
  else response.json(answered.body);
}

async function answer(row: AnyRow, request: Request, response: Response, maxBody: number): Promise<void> {
  const id = readId(row, request);
  const limits = { maxBytes: maxBody, decode: true };
  const given = row.body ? parseFields(row.body as z.ZodObject, await readJson(response, limits)) : { value: {} };
  if (given.problem !== undefined) throw new HttpError(400, given.problem);
  if (row.body) await admitAgain(row, request, response);
  const { status, body } = await execute(row, { id, body: given.value }, contextOf(response));
  response.locals.reply(status, body);
}

/** A body may take its time: the key may have been revoked since its headers came, or a role taken away. */
async function admitAgain(row: AnyRow, request: Request, response: Response): Promise<void> {
  const before = contextOf(response);
  const context = await refresh(before);
  if (context === before) return;
  response.locals.context = context;
  if (!context.caller.viewer)
    throw new HttpError(401, before.caller.viewer?.kind === 'API_KEY' ? 'Invalid API key' : 'Invalid or expired token');
  await admitChange(row, request, context);
}

/** The context with the caller as they are now; the same one where no counter has moved. */
async function refresh(context: Context): Promise<Context> {
  const counters = await context.database.counters();
  const { access, registry } = context.counters;
  if (counters.access === access && counters.registry === registry) return context;
  return { ...context, counters, caller: await context.refresh(counters) };
}

async function execute(row: AnyRow, given: Parameters<AnyRow['variables']>[0], context: Context): Promise<RestAnswer> {
  const data = await executeRow(row, given, context);
  const [result] = Object.values(data);
  if (result && 'code' in result) {
    const { code, message } = result as { code: ErrorCode; message: string };
    throw new HttpError(ERRORS[code].status, message);
  }
  return { status: row.status, body: row.answer(result as never, data as never) };
}

async function executeRow(row: AnyRow, given: Parameters<AnyRow['variables']>[0], context: Context) {
  const { data, errors } = await executeDocument(row.document, row.variables(given), context);
  if (errors?.[0]) throw errors[0];
  return data ?? {};
}

function contextOf(response: Response): Context {
  return response.locals.context as Context;
}

/** The `:id` of the path, a positive integer below 2^31; 0 where the path has none. */
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

function errorAnswer(mask: RestOptions['mask']): ErrorRequestHandler {
  return (error, _request, response, _next) => {
    const { status, message, retryAfter, close } = describe(error, mask, contextOf(response));
    if (close && !response.headersSent) response.setHeader('Connection', 'close');
    if (retryAfter !== undefined && !response.headersSent) response.setHeader('Retry-After', String(retryAfter));
    if (response.headersSent) response.destroy();
    else response.status(status).json({ error: message });
    response.locals.finish();
  };
}

interface Described {
  readonly status: number;
  readonly message: string;
  /** Seconds. */
  readonly retryAfter?: number | undefined;
  readonly close?: boolean;
}

function describe(error: unknown, mask: RestOptions['mask'], context: Context): Described {
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
