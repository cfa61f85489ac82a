import { hash } from 'node:crypto';
import type { Claims, OpenIdProvider } from './open-id-client.ts';
import { username } from './user.ts';

/** A person as a provider knows them. */
export interface OpenIdUser {
  /** The issuer and its own id of the person: the only thing that says who they are. */
  readonly subject: string;
  /** What a new person is called here. */
  readonly username: string;
  readonly name: string;
  /** The roles that their groups give. */
  readonly roles: readonly string[];
}

/** Reads a person out of what their provider says. */
export function readOpenIdUser(claims: Claims, provider: OpenIdProvider): OpenIdUser {
  const { sub, iss, preferred_username, email, email_verified, name } = claims;
  const candidates = [preferred_username, email_verified === true ? email : undefined];
  const chosen = candidates.find((candidate) => username.safeParse(candidate).success);
  return {
    // An issuer is a URL, so the first space ends it.
    subject: `${iss} ${sub}`,
    username: typeof chosen === 'string' ? chosen : `${provider.name}-${hash('sha256', sub, 'hex').slice(0, 12)}`,
    name:
      typeof name === 'string' && name.isWellFormed() && !/\p{Cc}/u.test(name)
        ? name
            .slice(0, 253)
            .toWellFormed()
            .replace(/\uFFFD$/, '')
        : '',
    roles: rolesOf(claims[provider.groupsClaim], provider),
  };
}

function rolesOf(groups: unknown, { roles, defaultRole }: OpenIdProvider): string[] {
  const held = new Set([groups].flat());
  const given = roles.filter(([group]) => held.has(group)).map(([, role]) => role);
  return [...new Set(defaultRole === undefined ? given : [...given, defaultRole])].sort();
}
