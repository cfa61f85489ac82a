import { hash } from 'node:crypto';
import { username } from '../user.ts';
import type { Claims, OpenIdProvider } from './open-id-client.ts';

/** A user as described by a provider. */
export interface OpenIdUser {
  /** The issuer and its id of the user. Only this identifies the user. */
  readonly subject: string;
  /** The username if this user is created now. */
  readonly username: string;
  readonly name: string;
  /** The roles granted by the groups of the user, and the default role. */
  readonly roles: readonly string[];
}

/** Reads a user from the claims of a provider. */
export function readOpenIdUser(claims: Claims, provider: OpenIdProvider): OpenIdUser {
  const { sub, iss, preferred_username, email, email_verified, name } = claims;
  const candidates = [preferred_username, email_verified === true ? email : undefined];
  const chosen = candidates.find((candidate) => username.safeParse(candidate).success);
  return {
    // An issuer is a URL and contains no space, so the first space separates issuer and id.
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
  const memberOf = new Set([groups].flat());
  const granted = roles.filter(([group]) => memberOf.has(group)).map(([, role]) => role);
  return [...new Set(defaultRole === undefined ? granted : [...granted, defaultRole])].sort();
}
