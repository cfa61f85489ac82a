import { z } from 'zod';
import { isThrottled } from '../domain/access/throttle.ts';
import type { PendingSignIn } from '../domain/accounts/open-id/open-id.ts';
import type { NewSession } from '../domain/accounts/sessions.ts';
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

/** A request to a sign-in route. */
export interface SignInRequest<Body = unknown> {
  readonly context: Context;
  readonly body: Body;
  readonly query: URLSearchParams;
  /** The session token of the cookie; undefined if there is no such cookie. */
  readonly token: string | undefined;
  /** Whether the request certainly comes from this machine. */
  readonly local: boolean;
  /** The cookie of a pending OpenID Connect sign-in; undefined if there is none. */
  readonly pending: string | undefined;
  /** Sets the cookie of a pending OpenID Connect sign-in; null clears it. */
  readonly setPending: (pending: PendingSignIn | null) => void;
}

interface SignInResponse {
  readonly status: 200 | 201 | 204 | 302;
  readonly body?: unknown;
  /** Sets the session cookie; null clears it. */
  readonly session?: NewSession | null;
  readonly location?: string;
}

/** A sign-in route. These routes call the domain directly: no GraphQL operation sets a cookie. */
export interface SignInRoute<Body extends z.ZodObject = z.ZodObject> {
  readonly method: 'get' | 'post';
  readonly path: string;
  /** The name of the route in the OpenAPI document. */
  readonly operationId: string;
  readonly summary: string;
  readonly access: 'anyone' | 'signed in';
  readonly body?: Body;
  readonly status: SignInResponse['status'];
  readonly result?: z.ZodType;
  /** Errors that are specific to this route: the status, the sentence, and when it is returned. */
  readonly errors?: readonly (readonly [status: 400 | 401 | 403 | 404 | 429, error: string, when: string])[];
  readonly handle: (request: SignInRequest<z.output<Body>>) => Promise<SignInResponse>;
}

const route = <Body extends z.ZodObject>(value: SignInRoute<Body>) => value as unknown as SignInRoute;

const FIELDS = [
  400,
  'password is required',
  'A field is missing or has the wrong type. The error names the field.',
] as const;

const THROTTLED = [
  429,
  'too many sign-ins at once: try again later',
  'Too many sign-ins come from this address, or from all addresses together. `Retry-After` is the number of seconds to wait.',
] as const;

const credentials = z.object({ username: string, password: string });
const firstUser = credentials.extend({ name: string.optional(), code: string.optional() });

/** The sign-in routes that Kite's web UI and scripts use. */
export const SIGN_IN_ROUTES: readonly SignInRoute[] = [
  route({
    method: 'get',
    path: '/api/v1/init_check',
    operationId: 'getSetUpProgress',
    summary: 'Get the progress of the initial setup',
    access: 'anyone',
    status: 200,
    result: progressResult,
    handle: async ({ context }) => ({ status: 200, body: await context.setUp.progress() }),
  }),
  route({
    method: 'post',
    path: '/api/v1/admin/users/create_super_user',
    operationId: 'createFirstUser',
    summary: 'Create the first user, an admin',
    access: 'anyone',
    body: firstUser,
    status: 201,
    result: firstUserResult,
    errors: [
      FIELDS,
      [
        403,
        'a user exists already: sign in',
        'A user exists already, or the caller is not allowed to create the first user.',
      ],
      THROTTLED,
    ],
    handle: async ({ context: { caller, setUp, sessions }, body, local }) => {
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
    summary: 'List the sign-in providers',
    access: 'anyone',
    status: 200,
    result: providersResult,
    handle: async ({ context }) => ({ status: 200, body: { providers: ['password', ...context.openId.names] } }),
  }),
  route({
    method: 'post',
    path: '/api/auth/login/password',
    operationId: 'signInByPassword',
    summary: 'Sign in with a password',
    access: 'anyone',
    body: credentials,
    status: 204,
    errors: [
      FIELDS,
      [401, 'invalid credentials', 'The username or the password is wrong.'],
      [
        429,
        'too many failed sign-ins: try again later',
        'Too many sign-ins failed for this username or from this address. `Retry-After` is the number of seconds to wait.',
      ],
    ],
    handle: async ({ context: { caller, sessions }, body }) => ({
      status: 204,
      session: await sessions.signIn(caller, body),
    }),
  }),
  route({
    method: 'get',
    path: '/api/auth/login',
    operationId: 'beginSignIn',
    summary: 'Begin an OpenID Connect sign-in',
    access: 'anyone',
    status: 200,
    result: authUrlResult,
    errors: [[404, 'no such sign-in provider', 'No provider has the name given in `provider`.'], THROTTLED],
    handle: async ({ context, query, setPending }) => {
      const { provider, url, pending } = await context.openId.begin(context.caller, query.get('provider'));
      setPending(pending);
      return { status: 200, body: { auth_url: url, provider } };
    },
  }),
  route({
    method: 'get',
    path: '/api/auth/callback',
    operationId: 'finishSignIn',
    summary: 'Complete an OpenID Connect sign-in',
    access: 'anyone',
    status: 302,
    errors: [
      [
        400,
        'this sign-in has expired, was used already, or was begun in another browser: begin again',
        'The sign-in was not begun by this browser, has expired, or has already been completed.',
      ],
      [401, 'invalid credentials', 'The provider rejected the sign-in, or its code has expired.'],
      THROTTLED,
    ],
    handle: async ({ context, query, pending, setPending }) => {
      try {
        const session = await context.openId.finish(context.caller, query, pending);
        setPending(null);
        return { status: 302, session, location: '/' };
      } catch (error) {
        // Keep the cookie of a throttled callback, so that it can be retried. After any other error it is useless.
        if (!isThrottled(error)) setPending(null);
        throw error;
      }
    },
  }),
  route({
    method: 'get',
    path: '/api/auth/user',
    operationId: 'getSignedInUser',
    summary: 'Get the user who is signed in',
    access: 'signed in',
    status: 200,
    result: userResult,
    handle: async ({ context }) => ({ status: 200, body: { user: await context.users.profile(context.caller) } }),
  }),
  route({
    method: 'post',
    path: '/api/auth/refresh',
    operationId: 'refreshSession',
    summary: 'Extend the session',
    access: 'signed in',
    status: 200,
    result: refreshedResult,
    handle: async ({ context, token }) => {
      const session = token === undefined ? undefined : await context.sessions.refresh(token);
      if (!session) throw new HttpError(401, 'Invalid or expired token');
      return { status: 200, body: { message: 'token refreshed successfully' }, session };
    },
  }),
  route({
    method: 'post',
    path: '/api/auth/logout',
    operationId: 'signOut',
    summary: 'Sign out and end the session',
    access: 'signed in',
    status: 200,
    result: loggedOutResult,
    handle: async ({ context, token }) => {
      if (token !== undefined) await context.sessions.signOut(context.caller, token);
      return { status: 200, body: { message: 'logged out successfully' }, session: null };
    },
  }),
];

/** Whether an anonymous caller may call the route. */
export function isPublic(method: string, path: string): boolean {
  return SIGN_IN_ROUTES.some(
    (route) =>
      route.access === 'anyone' &&
      route.path === path &&
      (route.method.toUpperCase() === method || (method === 'HEAD' && route.method === 'get')),
  );
}
