import type { Transaction } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import type { Action } from './action.ts';
import { parseViewerId } from './viewer-id.ts';

/** Reads the current roles of an API key in a transaction; undefined if the key is revoked or disabled. */
export async function rolesOfKey(tx: Transaction, viewerId: string): Promise<readonly string[] | undefined> {
  const row = await tx.apiKey.findUnique({
    ...withOwner,
    where: { id: parseViewerId(viewerId)?.id ?? 0 },
  });
  const key = row && toCachedKey(row);
  return key && !key.disabled ? key.roles : undefined;
}

/** Converts a JSON column that contains a list to strings. */
export function toStrings(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

/**
 * Reads the current roles of the user of a session in a transaction; undefined if the session has ended or the user is
 * disabled.
 */
export async function rolesOfSession(tx: Transaction, hash = ''): Promise<string[] | undefined> {
  const row = await tx.session.findUnique({
    where: { hash },
    select: { user: { select: { disabled: true, roles: { select: { role: true } } } } },
  });
  return row && !row.user.disabled ? row.user.roles.map(({ role }) => role) : undefined;
}

/** An API key with everything that authentication needs. */
export interface CachedApiKey {
  readonly id: number;
  readonly name: string;
  /** The roles of the key. For a personal key, only the roles that its owner still holds. */
  readonly roles: readonly string[];
  readonly scopes: ReadonlySet<Action> | undefined;
  readonly ownerId: number | null;
  readonly hash: string;
  readonly weak: boolean;
  readonly disabled: boolean;
  readonly expiresAt: Date | null;
}

export const withOwner = {
  include: { owner: { select: { disabled: true, roles: { select: { role: true } } } } },
} as const;

export function toCachedKey({ owner, roles, scopes, ...row }: Prisma.ApiKeyGetPayload<typeof withOwner>): CachedApiKey {
  const ownerRoles = owner?.roles.map(({ role }) => role);
  const keyRoles = toStrings(roles);
  return {
    ...row,
    roles: ownerRoles ? keyRoles.filter((role) => ownerRoles.includes(role)) : keyRoles,
    scopes: scopes === null ? undefined : new Set(toStrings(scopes) as Action[]),
    disabled: row.disabled || (owner?.disabled ?? false),
  };
}
