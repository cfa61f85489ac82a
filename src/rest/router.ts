import type { IncomingMessage, ServerResponse } from 'node:http';
import { type NextFunction, type Request, type Response, Router } from 'express';
import type { NewSession } from '../domain/accounts/sessions.ts';
import { isStorableId } from '../domain/storable.ts';
import type { Context } from '../graphql/context.ts';
import { ERRORS } from '../graphql/errors.ts';
import { HttpError } from '../http-error.ts';
import { MAX_ANONYMOUS_BODY } from './body.ts';
import { type AnyRow, executeRow, refresh, requireAccess } from './execute-row.ts';
import { parseBody } from './parse-body.ts';
import { ROWS } from './routes.ts';
import { SIGN_IN_ROUTES, type SignInRequest, type SignInRoute } from './sign-in.ts';

/** The context of a request, and functions to read its body and to respond. */
interface RestExchange extends Omit<SignInRequest, 'body' | 'query'> {
  /** Sets the label of the request in the metrics, such as `DELETE /api/v1/admin/clusters/:id`. */
  readonly setOperation: (operation: string) => void;
  /** Reads the body. `decode`: whether to decode a `Content-Encoding`. */
  readonly readBody: (options: { maxBytes: number; decode: boolean }) => Promise<Buffer>;
  /** Sends a JSON response, or a response without a body if `body` is undefined. */
  readonly reply: (status: number, body: unknown) => void;
  /** Sets the session cookie; null clears it. */
  readonly setSession: (session: NewSession | null) => void;
}

type Handle = (request: Request, response: Response, exchange: RestExchange) => Promise<void>;

/**
 * Handles a request. Resolves when its handler has finished, which may be after the client disconnected; rejects with
 * the error to send.
 */
export type RestRouter = (request: IncomingMessage, response: ServerResponse, exchange: RestExchange) => Promise<void>;

/**
 * Routes every request under /api that is not a read (`reads.ts`): changes, sign-in, and unknown paths and methods.
 * `maxBody`: maximum bytes of a body.
 */
export function createRestRouter(maxBody: number): RestRouter {
  const router = Router({ caseSensitive: true });
  const add = (method: 'get' | 'post' | 'put' | 'delete', path: string, handle: Handle) => {
    const operation = `${method.toUpperCase()} ${path}`;
    router[method](path, async (request, response) => {
      const { exchange, finish } = response.locals;
      exchange.setOperation(operation);
      await handle(request, response, exchange);
      finish();
    });
  };
  const byPath = Map.groupBy(ROWS as unknown as AnyRow[], ({ path }) => path);
  // Register `…/import` before `…/:id`, which matches it too.
  const paths = [...byPath].sort(([left], [right]) => Number(left.includes(':')) - Number(right.includes(':')));
  for (const [path, rows] of paths) {
    for (const row of rows)
      if (row.method !== 'get')
        add(row.method, path, (request, _response, exchange) => change(row, request, exchange, maxBody));
    // For PUT and DELETE, `import` is an invalid cluster id (400): leave them to `…/:id`.
    const passed = path.endsWith('import') ? ['PUT', 'DELETE'] : [];
    router.all(
      path,
      rejectMethod(
        rows.map(({ method }) => method),
        passed,
      ),
    );
  }
  for (const route of SIGN_IN_ROUTES) {
    add(route.method, route.path, (request, response, exchange) => signIn(route, request, response, exchange, maxBody));
    router.all(route.path, rejectMethod([route.method]));
  }
  return (request, response, exchange) => {
    // Express rejects a path that it cannot decode. Escape it, so that it is handled as an unknown path or invalid id.
    if (!isDecodable(request.url ?? '')) request.url = request.url?.replaceAll('%', '%25');
    return new Promise((finish, reject) =>
      router(
        request as Request,
        Object.assign(response, { locals: { exchange, finish } }) as unknown as Response,
        (error?: unknown) => reject(error ?? new HttpError(404, 'API endpoint not found')),
      ),
    );
  };
}

/** Rejects a request to a known path with any method but `passed`. */
function rejectMethod(methods: readonly string[], passed: readonly string[] = []) {
  const allowed = methods.flatMap((method) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()]));
  return ({ method }: Request, response: Response, next: NextFunction) => {
    if (passed.includes(method)) return next();
    response.setHeader('Allow', allowed.join(', '));
    throw new HttpError(405, `method ${method} not allowed`);
  };
}

async function signIn(
  route: SignInRoute,
  request: Request,
  response: Response,
  exchange: RestExchange,
  maxBody: number,
): Promise<void> {
  // Do not decompress a body for an anonymous caller: it may expand to a thousand times its size.
  const isOpen = route.access === 'anyone';
  const limits = { maxBytes: isOpen ? Math.min(maxBody, MAX_ANONYMOUS_BODY) : maxBody, decode: !isOpen };
  const body = route.body ? parseBody(route.body, await exchange.readBody(limits)) : {};
  const context = route.body ? await refresh(exchange.context) : exchange.context;
  const query = new URLSearchParams(request.url.split('?')[1]);
  const result = await route.handle({ ...exchange, context, body, query });
  if (result.session !== undefined) exchange.setSession(result.session);
  if (result.location !== undefined) response.setHeader('Location', result.location);
  response.setHeader('Cache-Control', 'no-store');
  exchange.reply(result.status, result.body);
}

async function change(row: AnyRow, request: Request, exchange: RestExchange, maxBody: number): Promise<void> {
  await requireAuditedAccess(row, request, exchange.context);
  const id = readId(row, request);
  const limits = { maxBytes: maxBody, decode: true };
  const body = row.body ? parseBody(row.body as never, await exchange.readBody(limits)) : {};
  const context = row.body ? await reauthorize(row, request, exchange.context) : exchange.context;
  const data = await executeRow(row, { id, body }, context);
  const [result] = Object.values(data);
  if (result && 'code' in result) {
    const { code, message } = result as { code: keyof typeof ERRORS; message: string };
    throw new HttpError(ERRORS[code].status, message);
  }
  exchange.reply(row.status, row.toBody(result as never, data as never));
}

/** Like `requireAccess`, but records a refused change in the audit log. */
async function requireAuditedAccess(row: AnyRow, request: Request, context: Context): Promise<void> {
  const check = async () => requireAccess(row, context);
  if (!row.action) return check();
  const databaseId = Number(request.params.id);
  const by = row.objectKind === 'cluster' && isStorableId(databaseId) ? { databaseId } : undefined;
  await context.auditLog.recordIfRefused(context.caller, row.action, check, by);
}

/**
 * Checks the caller again after a slow body: the key may have been revoked since the headers arrived, or a role
 * removed. Returns the context with the caller's current roles.
 */
async function reauthorize(row: AnyRow, request: Request, before: Context): Promise<Context> {
  const context = await refresh(before);
  if (context === before) return context;
  if (!context.caller.viewer)
    throw new HttpError(401, before.caller.viewer?.kind === 'API_KEY' ? 'Invalid API key' : 'Invalid or expired token');
  await requireAuditedAccess(row, request, context);
  return context;
}

/** Reads `:id`, a positive integer below 2^31. Returns 0 if the path has no id. */
function readId({ objectKind }: AnyRow, request: Request): number {
  const text = request.params.id;
  if (text === undefined) return 0;
  const id = /^[0-9]+$/.test(String(text)) ? Number(text) : 0;
  if (id < 1 || id >= 2 ** 31) throw new HttpError(400, `invalid ${objectKind} id`);
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
