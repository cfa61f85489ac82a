import { systemCaller } from '../../src/domain/access/system-caller.ts';
import type { TestApp } from './app.ts';

export const PASSWORD = 'correct horse battery';
export const LOGIN = '/api/auth/login/password';
const caller = systemCaller('command line');

/** Makes a person with these roles. */
export function createUser({ domain }: TestApp, username: string, roles: readonly string[] = []) {
  return domain.users.create(caller, { username, password: PASSWORD, roles });
}

/** Signs in over HTTP: the cookie, as the headers of the next request. */
export async function signIn(app: TestApp, username: string, password = PASSWORD): Promise<{ Cookie: string }> {
  const { status, headers, text } = await app.rest('POST', LOGIN, { username, password }, {});
  if (status !== 204) throw new Error(`signing in as ${username} was answered ${status} ${text}`);
  return { Cookie: headers.getSetCookie()[0]?.split(';')[0] ?? '' };
}

/** A person with these roles, signed in. */
export async function signedInUser(app: TestApp, username: string, roles: readonly string[] = []) {
  await createUser(app, username, roles);
  return signIn(app, username);
}

/** A service's key, as the headers of a request. */
export async function keyWith({ domain }: TestApp, roles: readonly string[], more: { scopes?: string[] } = {}) {
  const { id, text } = await domain.apiKeys.create(caller, { name: `key of ${roles.join()}`, roles, ...more });
  return { id, headers: { Authorization: text } };
}

export type RoleDefinition = Parameters<TestApp['domain']['roles']['define']>[1];

export function defineRole({ domain }: TestApp, role: RoleDefinition) {
  return domain.roles.define(caller, role);
}
