import { NO_JSON, type Transaction } from '../database.ts';
import type { Prisma } from '../generated/sqlite/client.ts';

/** What a backup would give back although it was taken away after it: nothing of it is restored, and all of it is named. */
export interface TakenAway {
  /** The usernames of those who were disabled, deleted or given another password: they are disabled. */
  readonly disabled: readonly string[];
  /** What is left out of roles, of what users hold and of what API keys hold; a text each, such as `user ann: admin`. */
  readonly revoked: readonly string[];
}

/** Who may do what, before the rows of a backup take the place of these. */
export interface AccessBefore {
  readonly lastUserId: number;
  readonly users: ReadonlyMap<string, KnownUser>;
  readonly roles: ReadonlyMap<string, KnownRole>;
  readonly apiKeys: ReadonlyMap<number, KnownKey>;
  /** The names that a role was deleted under, as far back as the audit records go. */
  readonly deletedRoles: ReadonlySet<string>;
}

type KnownUser = Pick<Prisma.UserGetPayload<object>, 'disabled' | 'passwordHash'> & { readonly roles: string[] };
type KnownRole = Pick<Prisma.RoleGetPayload<object>, 'actions' | 'clusters'>;
type KnownKey = Pick<Prisma.ApiKeyGetPayload<object>, 'hash' | 'roles' | 'scopes' | 'expiresAt'>;

const withRoles = { include: { roles: { select: { role: true }, orderBy: { role: 'asc' } } } } as const;

/** Reads who may do what now. */
export async function readAccess(tx: Transaction): Promise<AccessBefore> {
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

/** Takes away from the restored rows what was taken away before, and names it. The rows of API keys come first. */
export async function takeAwayAgain(tx: Transaction, before: AccessBefore): Promise<TakenAway> {
  const deleted = await deleteRoles(tx, before);
  const revoked = [
    ...deleted.map((name) => `role ${name}`),
    ...(await narrowRoles(tx, before)),
    ...(await narrowUsers(tx, before, deleted)),
    ...(await narrowApiKeys(tx, before, deleted)),
  ];
  return { disabled: await disableUsers(tx, before), revoked };
}

/** A user who is in the backup and whose id was given out here, but who does not exist any more, was deleted since. */
async function disableUsers(tx: Transaction, { lastUserId, users }: AccessBefore): Promise<string[]> {
  const restored = await tx.user.findMany({ where: { disabled: false }, orderBy: { username: 'asc' } });
  const ended = restored.filter(({ id, uid, passwordHash }) => {
    const known = users.get(uid);
    return known ? known.disabled || known.passwordHash !== passwordHash : id <= lastUserId;
  });
  for (const { id } of ended) await tx.user.update({ where: { id }, data: { disabled: true } });
  return ended.map(({ username }) => username);
}

async function deleteRoles(tx: Transaction, { roles, deletedRoles }: AccessBefore): Promise<string[]> {
  const restored = await tx.role.findMany({ select: { name: true }, orderBy: { name: 'asc' } });
  const names = restored.map(({ name }) => name).filter((name) => !roles.has(name) && deletedRoles.has(name));
  await tx.role.deleteMany({ where: { name: { in: names } } });
  return names;
}

/** No role gives more than it does now. Two sets of clusters cannot be intersected, so the present one stays. */
async function narrowRoles(tx: Transaction, { roles }: AccessBefore): Promise<string[]> {
  const revoked: string[] = [];
  for (const { name, actions, clusters } of await tx.role.findMany({ orderBy: { name: 'asc' } })) {
    const now = roles.get(name);
    if (!now) continue;
    const kept = textsOf(actions).filter((action) => textsOf(now.actions).includes(action));
    const lost = textsOf(actions).filter((action) => !kept.includes(action));
    const isNarrower = now.clusters !== null && !isSame(now.clusters, clusters);
    if (lost.length === 0 && !isNarrower) continue;
    const data = { actions: kept, clusters: now.clusters ?? clusters ?? NO_JSON };
    await tx.role.update({ where: { name }, data });
    revoked.push(`role ${name}: ${[...lost, ...(isNarrower ? ['other clusters'] : [])].join(', ')}`);
  }
  return revoked;
}

/** A user who was deleted since has lost every role. */
async function narrowUsers(
  tx: Transaction,
  { lastUserId, users }: AccessBefore,
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
  { apiKeys }: AccessBefore,
  deleted: readonly string[],
): Promise<string[]> {
  const revoked: string[] = [];
  for (const key of await tx.apiKey.findMany({ orderBy: { id: 'asc' } })) {
    const { id, name, hash, roles, scopes, expiresAt } = key;
    const known = apiKeys.get(id);
    // Another secret is another key: on a new machine the first key of its own registry.
    const now = known?.hash === hash ? known : undefined;
    const kept = textsOf(roles).filter(
      (role) => !deleted.includes(role) && (!now || textsOf(now.roles).includes(role)),
    );
    const lost = textsOf(roles).filter((role) => !kept.includes(role));
    const narrowed = now && narrowScopes(scopes, now.scopes);
    const earlier = now?.expiresAt && (!expiresAt || now.expiresAt < expiresAt) ? now.expiresAt : undefined;
    if (lost.length === 0 && !narrowed && !earlier) continue;
    const data = { roles: kept, ...(narrowed && { scopes: narrowed }), ...(earlier && { expiresAt: earlier }) };
    await tx.apiKey.update({ where: { id }, data });
    const more = [...(narrowed ? ['other actions'] : []), ...(earlier ? ['a later expiry'] : [])];
    revoked.push(`API key ${id} (${name}): ${[...lost, ...more].join(', ')}`);
  }
  return revoked;
}

/** The actions that both allow, where that is less than the backup's; null narrows nothing. */
function narrowScopes(scopes: Prisma.JsonValue, now: Prisma.JsonValue): string[] | undefined {
  if (now === null) return undefined;
  if (scopes === null) return textsOf(now);
  const kept = textsOf(scopes).filter((scope) => textsOf(now).includes(scope));
  return kept.length < textsOf(scopes).length ? kept : undefined;
}

const textsOf = (value: Prisma.JsonValue): string[] => (Array.isArray(value) ? value.map(String) : []);
const isSame = (left: Prisma.JsonValue, right: Prisma.JsonValue) => JSON.stringify(left) === JSON.stringify(right);
