import { z } from 'zod';
import type { PendingSignIn } from '../domain/access/open-id.ts';
import type { NewSession } from '../domain/access/sessions.ts';
import { isThrottled } from '../domain/access/throttle.ts';
import type { Context } from '../graphql/context.ts';
import { HttpError } from '../http-error.ts';
import {
  authUrlResult,
  firstUserResult,
  loggedOutResult,
  progressResult,
  providersResult,
  refreshedResult,
  userResult,
} from './results.ts';

const string = z.string({ error: 'must be a string' });

/** What a sign-in route is asked with. */
export interface SignInRequest<Body = unknown> {
  readonly context: Context;
  readonly body: Body;
  readonly query: URLSearchParams;
  /** The session's token, where a cookie holds one. */
  readonly token: string | undefined;
  /** Whether the request can have come from this machine alone. */
  readonly local: boolean;
  /** What the browser kept of a sign-in that it took to a provider. */
  readonly pending: string | undefined;
  /** Has the browser keep a sign-in that has begun; null: keep none. */
  readonly keep: (pending: PendingSignIn | null) => void;
}

export interface SignInAnswer {
  readonly status: 200 | 201 | 204 | 302;
  readonly body?: unknown;
  /** Begins a session in the browser; null ends it. */
  readonly session?: NewSession | null;
  readonly location?: string;
}

/** A route of signing in. They are HTTP alone, over the domain: no GraphQL operation sets a cookie. */
export interface SignInRoute<Body extends z.ZodObject = z.ZodObject> {
  readonly method: 'get' | 'post';
  readonly path: string;
  /** Its name in the OpenAPI document, and what it does. */
  readonly operationId: string;
  readonly summary: string;
  readonly who: 'anyone' | 'signed in';
  readonly body?: Body;
  readonly status: SignInAnswer['status'];
  readonly result?: z.ZodType;
  /** How it can be refused besides what any route can answer. */
  readonly refusals?: readonly (readonly [status: 400 | 401 | 403 | 404 | 429, error: string, when: string])[];
  readonly answer: (request: SignInRequest<z.output<Body>>) => Promise<SignInAnswer>;
}

const route = <Body extends z.ZodObject>(value: SignInRoute<Body>) => value as unknown as SignInRoute;

const FIELDS = [
  400,
  'password is required',
  'A field is missing or of the wrong type; the sentence names it.',
] as const;

const THROTTLED = [
  429,
  'too many sign-ins at once: try again later',
  'Too many come from this address, or from all addresses at once; `Retry-After` tells how many seconds to wait.',
] as const;

const credentials = z.object({ username: string, password: string });
const firstUser = credentials.extend({ name: string.optional(), code: string.optional() });

/** The routes that Kite's web UI and its scripts sign in by. */
export const SIGN_IN_ROUTES: readonly SignInRoute[] = [
  route({
    method: 'get',
    path: '/api/v1/init_check',
    operationId: 'getSetUpProgress',
    summary: 'How far the first set-up is',
    who: 'anyone',
    status: 200,
    result: progressResult,
    answer: async ({ context }) => ({ status: 200, body: await context.setUp.progress() }),
  }),
  route({
    method: 'post',
    path: '/api/v1/admin/users/create_super_user',
    operationId: 'createFirstUser',
    summary: 'Make the first person, an admin',
    who: 'anyone',
    body: firstUser,
    status: 201,
    result: firstUserResult,
    refusals: [
      FIELDS,
      [403, 'a user exists already: sign in', 'Somebody exists, or who asks may not make the first person.'],
      THROTTLED,
    ],
    answer: async ({ context: { caller, setUp, sessions }, body, local }) => {
      const { id, username } = await setUp.createFirst(caller, body, { local });
      return {
        status: 201,
        body: { message: 'super user created successfully', username },
        session: await sessions.begin(caller, id),
      };
    },
  }),
  route({
    method: 'get',
    path: '/api/auth/providers',
    operationId: 'listSignInProviders',
    summary: 'The ways to sign in',
    who: 'anyone',
    status: 200,
    result: providersResult,
    answer: async ({ context }) => ({ status: 200, body: { providers: ['password', ...context.openId.names] } }),
  }),
  route({
    method: 'post',
    path: '/api/auth/login/password',
    operationId: 'signInByPassword',
    summary: 'Sign in by password',
    who: 'anyone',
    body: credentials,
    status: 204,
    refusals: [
      FIELDS,
      [401, 'invalid credentials', 'The name or the password is wrong.'],
      [
        429,
        'too many failed sign-ins: try again later',
        'Too many sign-ins failed, of this name or from this address; `Retry-After` tells how many seconds to wait.',
      ],
    ],
    answer: async ({ context: { caller, sessions }, body }) => ({
      status: 204,
      session: await sessions.signIn(caller, body),
    }),
  }),
  route({
    method: 'get',
    path: '/api/auth/login',
    operationId: 'beginSignIn',
    summary: 'Begin to sign in by OpenID Connect',
    who: 'anyone',
    status: 200,
    result: authUrlResult,
    refusals: [[404, 'no such sign-in provider', 'No provider has the name in `provider`.'], THROTTLED],
    answer: async ({ context, query, keep }) => {
      const { provider, url, pending } = await context.openId.begin(context.caller, query.get('provider'));
      keep(pending);
      return { status: 200, body: { auth_url: url, provider } };
    },
  }),
  route({
    method: 'get',
    path: '/api/auth/callback',
    operationId: 'finishSignIn',
    summary: 'Come back from the provider, signed in',
    who: 'anyone',
    status: 302,
    refusals: [
      [
        400,
        'this sign-in has expired, was used already, or was begun in another browser: begin again',
        'The sign-in is none that this browser began, or it came back too late, or twice.',
      ],
      [401, 'invalid credentials', 'The provider does not vouch for the person.'],
      THROTTLED,
    ],
    answer: async ({ context, query, pending, keep }) => {
      try {
        const session = await context.openId.finish(context.caller, query, pending);
        keep(null);
        return { status: 302, session, location: '/' };
      } catch (error) {
        // A callback that is throttled may come back; after any other failure the cookie is of no use.
        if (!isThrottled(error)) keep(null);
        throw error;
      }
    },
  }),
  route({
    method: 'get',
    path: '/api/auth/user',
    operationId: 'getSignedInUser',
    summary: 'Who is signed in',
    who: 'signed in',
    status: 200,
    result: userResult,
    answer: async ({ context }) => ({ status: 200, body: { user: await context.users.profile(context.caller) } }),
  }),
  route({
    method: 'post',
    path: '/api/auth/refresh',
    operationId: 'refreshSession',
    summary: 'Lengthen the session',
    who: 'signed in',
    status: 200,
    result: refreshedResult,
    answer: async ({ context, token }) => {
      const session = token === undefined ? undefined : await context.sessions.refresh(token);
      if (!session) throw new HttpError(401, 'Invalid or expired token');
      return { status: 200, body: { message: 'token refreshed successfully' }, session };
    },
  }),
  route({
    method: 'post',
    path: '/api/auth/logout',
    operationId: 'signOut',
    summary: 'End the session',
    who: 'signed in',
    status: 200,
    result: loggedOutResult,
    answer: async ({ context, token }) => {
      if (token !== undefined) await context.sessions.signOut(context.caller, token);
      return { status: 200, body: { message: 'logged out successfully' }, session: null };
    },
  }),
];

/** Whether a request may come from a stranger. */
export function isPublic(method: string, path: string): boolean {
  return SIGN_IN_ROUTES.some(
    (route) =>
      route.who === 'anyone' &&
      route.path === path &&
      (route.method.toUpperCase() === method || (method === 'HEAD' && route.method === 'get')),
  );
}
