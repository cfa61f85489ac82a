import type { Database, Transaction } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import type { Action } from '../access/action.ts';
import type { Caller } from '../access/caller.ts';
import { toStrings } from '../access/current-roles.ts';
import { userViewerId } from '../access/viewer-id.ts';
import { record } from '../audit/record.ts';
import { invalidInput } from '../errors.ts';
import { formatApiKey, hashSecret } from './api-key.ts';

/** A new API key. Its text cannot be retrieved later. */
export interface CreatedApiKey {
  readonly id: number;
  readonly text: string;
  readonly apiKey: ApiKey;
}

/** The fields of a new key that its creator chooses. */
export interface NewApiKey {
  readonly name: string;
  readonly roles: readonly string[];
  /** The actions that the key is limited to; all actions of its roles if absent. */
  readonly scopes?: readonly string[] | null | undefined;
  readonly expiresAt?: Date | null | undefined;
}

/** An API key without its hash. */
export type ApiKey = ReturnType<typeof toApiKey>;

/** Maximum personal keys of a user. */
const MAX_OWNED = 100;

/** Inserts a generated key and its audit record. The database chooses the id unless it is given. */
export async function insertApiKey(
  tx: Transaction,
  caller: Caller,
  { id: fixedId, secret, ...input }: NewApiKey & { id?: number | undefined; secret: string; ownerId?: number | null },
  { database, at }: { database: Database; at: Date },
): Promise<CreatedApiKey> {
  const owned = input.ownerId ? await tx.apiKey.count({ where: { ownerId: input.ownerId } }) : 0;
  if (owned >= MAX_OWNED)
    throw invalidInput([{ path: ['personal'], message: `you already have ${MAX_OWNED} keys: revoke some first` }]);
  await database.skipExistingApiKeyIds(tx);
  const row = await tx.apiKey.create({
    data: {
      ...(fixedId === undefined ? {} : { id: fixedId }),
      ...{ name: input.name, hash: hashSecret(secret), roles: [...input.roles], source: 'GENERATED' },
      ...{ createdAt: at, expiresAt: input.expiresAt ?? null, ownerId: input.ownerId ?? null },
      ...(input.scopes ? { scopes: [...input.scopes] } : {}),
    },
    ...WITHOUT_HASH,
  });
  const { id } = row;
  await record(tx, caller, {
    action: 'api-key.create',
    at,
    changes: {
      ...{ apiKey: { to: id }, name: { to: input.name }, roles: { to: input.roles } },
      ...(input.scopes ? { scopes: { to: input.scopes } } : {}),
      ...(input.expiresAt ? { expiresAt: { to: input.expiresAt } } : {}),
      ...(input.ownerId ? { owner: { to: userViewerId(input.ownerId) } } : {}),
    },
  });
  return { id, text: formatApiKey({ id, secret }), apiKey: toApiKey(row) };
}

/** Selects a key without its hash, and with the name of its owner. */
export const WITHOUT_HASH = { omit: { hash: true }, include: { owner: { select: { username: true } } } } as const;

/** Converts a row that was selected with `WITHOUT_HASH`. */
export function toApiKey({ owner, ownerId: _, roles, scopes, ...row }: Prisma.ApiKeyGetPayload<typeof WITHOUT_HASH>) {
  return {
    ...row,
    roles: toStrings(roles),
    scopes: scopes === null ? null : (toStrings(scopes) as Action[]),
    owner: owner?.username ?? null,
  };
}
