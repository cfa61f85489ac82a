import { systemCaller } from '../../src/domain/access/system-caller.ts';
import type { TestApp } from './app.ts';

export const PASSWORD = 'correct horse battery';
export const LOGIN = '/api/auth/login/password';
const caller = systemCaller('command line');

/** Creates a user with these roles. */
export function createUser({ domain }: TestApp, username: string, roles: readonly string[] = []) {
  return domain.users.create(caller, { username, password: PASSWORD, roles });
}

/** Signs in over HTTP and returns the cookie as headers for the next request. */
export async function signIn(app: TestApp, username: string, password = PASSWORD): Promise<{ Cookie: string }> {
  const { status, headers, text } = await app.rest('POST', LOGIN, { username, password }, {});
  if (status !== 204) throw new Error(`the sign-in as ${username} failed: ${status} ${text}`);
  return { Cookie: headers.getSetCookie()[0]?.split(';')[0] ?? '' };
}

/** Creates a user with these roles and signs them in. */
export async function signedInUser(app: TestApp, username: string, roles: readonly string[] = []) {
  await createUser(app, username, roles);
  return signIn(app, username);
}

/** Creates a service key and returns it as request headers. */
export async function keyWith({ domain }: TestApp, roles: readonly string[], more: { scopes?: string[] } = {}) {
  const { id, text } = await domain.apiKeys.create(caller, { name: `key of ${roles.join()}`, roles, ...more });
  return { id, headers: { Authorization: text } };
}

export type RoleDefinition = Parameters<TestApp['domain']['roles']['define']>[1];

export function defineRole({ domain }: TestApp, role: RoleDefinition) {
  return domain.roles.define(caller, role);
}
