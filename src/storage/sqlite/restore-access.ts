import { NO_JSON, type Transaction } from '../database.ts';
import type { Prisma } from '../generated/sqlite/client.ts';

/** Access that was revoked after the backup was made. A restore must not bring it back, and reports it instead. */
export interface Revocations {
  /**
   * Usernames of users who were disabled or deleted or got a new password since: their restored accounts are disabled.
   */
  readonly disabled: readonly string[];
  /**
   * Roles, actions and other rights that were removed; one text per role, user or API key, such as `user ann: admin`.
   */
  readonly revoked: readonly string[];
}

/** Users, roles and API keys as they were before the restore replaced their rows. */
export interface AccessSnapshot {
  readonly lastUserId: number;
  readonly users: ReadonlyMap<string, KnownUser>;
  readonly roles: ReadonlyMap<string, KnownRole>;
  readonly apiKeys: ReadonlyMap<number, KnownKey>;
  /** The names of deleted roles, as far back as the audit records go. */
  readonly deletedRoles: ReadonlySet<string>;
}

type KnownUser = Pick<Prisma.UserGetPayload<object>, 'disabled' | 'passwordHash'> & { readonly roles: string[] };
type KnownRole = Pick<Prisma.RoleGetPayload<object>, 'actions' | 'clusters'>;
type KnownKey = Pick<Prisma.ApiKeyGetPayload<object>, 'hash' | 'roles' | 'scopes' | 'expiresAt'>;

const withRoles = { include: { roles: { select: { role: true }, orderBy: { role: 'asc' } } } } as const;

/** Reads the users, roles and API keys that the restore is about to replace. */
export async function readAccess(tx: Transaction): Promise<AccessSnapshot> {
  const users = await tx.user.findMany(withRoles);
  const [last] = await tx.$queryRaw<{ seq: number | bigint }[]>`
    SELECT "seq" FROM main.sqlite_sequence WHERE "name" = 'User'`;
  const deletions = await tx.auditRecord.findMany({ where: { action: 'role.delete', outcome: 'DONE' } });
  return {
    lastUserId: Number(last?.seq ?? 0),
    users: new Map(users.map(({ roles, ...user }) => [user.uid, { ...user, roles: roles.map(({ role }) => role) }])),
    roles: new Map((await tx.role.findMany()).map((role) => [role.name, role])),
    apiKeys: new Map((await tx.apiKey.findMany()).map((key) => [key.id, key])),
    deletedRoles: new Set(deletions.flatMap(({ changes }) => deletedRole(changes) ?? [])),
  };
}

function deletedRole(changes: Prisma.JsonValue): string | undefined {
  const { role } = changes as { role?: { from?: unknown } };
  return typeof role?.from === 'string' ? role.from : undefined;
}

/** Applies the revocations since the backup to the restored rows and returns them. Restore the API keys before this. */
export async function reapplyRevocations(tx: Transaction, before: AccessSnapshot): Promise<Revocations> {
  const deleted = await deleteRoles(tx, before);
  const revoked = [
    ...deleted.map((name) => `role ${name}`),
    ...(await narrowRoles(tx, before)),
    ...(await narrowUsers(tx, before, deleted)),
    ...(await narrowApiKeys(tx, before, deleted)),
  ];
  return { disabled: await disableUsers(tx, before), revoked };
}

/**
 * Disables users who were disabled, deleted or given a new password since the backup. A user in the backup was deleted
 * since if this database has already assigned the user's id but no longer has the user.
 */
async function disableUsers(tx: Transaction, { lastUserId, users }: AccessSnapshot): Promise<string[]> {
  const restored = await tx.user.findMany({ where: { disabled: false }, orderBy: { username: 'asc' } });
  const revoked = restored.filter(({ id, uid, passwordHash }) => {
    const known = users.get(uid);
    return known ? known.disabled || known.passwordHash !== passwordHash : id <= lastUserId;
  });
  for (const { id } of revoked) await tx.user.update({ where: { id }, data: { disabled: true } });
  return revoked.map(({ username }) => username);
}

async function deleteRoles(tx: Transaction, { roles, deletedRoles }: AccessSnapshot): Promise<string[]> {
  const restored = await tx.role.findMany({ select: { name: true }, orderBy: { name: 'asc' } });
  const names = restored.map(({ name }) => name).filter((name) => !roles.has(name) && deletedRoles.has(name));
  await tx.role.deleteMany({ where: { name: { in: names } } });
  return names;
}

/**
 * Removes actions that a role has lost since the backup. Cluster selections cannot be intersected, so a role that is
 * currently limited to some clusters keeps its current selection.
 */
async function narrowRoles(tx: Transaction, { roles }: AccessSnapshot): Promise<string[]> {
  const revoked: string[] = [];
  for (const { name, actions, clusters } of await tx.role.findMany({ orderBy: { name: 'asc' } })) {
    const now = roles.get(name);
    if (!now) continue;
    const remaining = textsOf(actions).filter((action) => textsOf(now.actions).includes(action));
    const lost = textsOf(actions).filter((action) => !remaining.includes(action));
    const isNarrower = now.clusters !== null && !isSame(now.clusters, clusters);
    if (lost.length === 0 && !isNarrower) continue;
    const data = { actions: remaining, clusters: now.clusters ?? clusters ?? NO_JSON };
    await tx.role.update({ where: { name }, data });
    revoked.push(`role ${name}: ${[...lost, ...(isNarrower ? ['other clusters'] : [])].join(', ')}`);
  }
  return revoked;
}

/** Removes roles that a user has lost since the backup. A user who was deleted since has lost every role. */
async function narrowUsers(
  tx: Transaction,
  { lastUserId, users }: AccessSnapshot,
  deleted: readonly string[],
): Promise<string[]> {
  const revoked: string[] = [];
  for (const { id, uid, username, roles } of await tx.user.findMany({ ...withRoles, orderBy: { username: 'asc' } })) {
    const held = users.get(uid)?.roles ?? (id <= lastUserId ? [] : undefined);
    const lost = roles
      .map(({ role }) => role)
      .filter((role) => deleted.includes(role) || held?.includes(role) === false);
    if (lost.length === 0) continue;
    await tx.userRole.deleteMany({ where: { userId: id, role: { in: lost } } });
    revoked.push(`user ${username}: ${lost.join(', ')}`);
  }
  return revoked;
}

async function narrowApiKeys(
  tx: Transaction,
  { apiKeys }: AccessSnapshot,
  deleted: readonly string[],
): Promise<string[]> {
  const revoked: string[] = [];
  for (const key of await tx.apiKey.findMany({ orderBy: { id: 'asc' } })) {
    const { id, name, hash, roles, scopes, expiresAt } = key;
    const known = apiKeys.get(id);
    // A different hash means a different key with the same id, for example the first key of a new machine's registry.
    const now = known?.hash === hash ? known : undefined;
    const remaining = textsOf(roles).filter(
      (role) => !deleted.includes(role) && (!now || textsOf(now.roles).includes(role)),
    );
    const lost = textsOf(roles).filter((role) => !remaining.includes(role));
    const narrowed = now && narrowScopes(scopes, now.scopes);
    const earlier = now?.expiresAt && (!expiresAt || now.expiresAt < expiresAt) ? now.expiresAt : undefined;
    if (lost.length === 0 && !narrowed && !earlier) continue;
    const data = { roles: remaining, ...(narrowed && { scopes: narrowed }), ...(earlier && { expiresAt: earlier }) };
    await tx.apiKey.update({ where: { id }, data });
    const more = [...(narrowed ? ['other actions'] : []), ...(earlier ? ['a later expiry'] : [])];
    revoked.push(`API key ${id} (${name}): ${[...lost, ...more].join(', ')}`);
  }
  return revoked;
}

/**
 * The actions that both scopes allow; undefined if the backup's scopes need no narrowing. Null scopes allow every
 * action.
 */
function narrowScopes(scopes: Prisma.JsonValue, now: Prisma.JsonValue): string[] | undefined {
  if (now === null) return undefined;
  if (scopes === null) return textsOf(now);
  const remaining = textsOf(scopes).filter((scope) => textsOf(now).includes(scope));
  return remaining.length < textsOf(scopes).length ? remaining : undefined;
}

const textsOf = (value: Prisma.JsonValue): string[] => (Array.isArray(value) ? value.map(String) : []);
const isSame = (left: Prisma.JsonValue, right: Prisma.JsonValue) => JSON.stringify(left) === JSON.stringify(right);
