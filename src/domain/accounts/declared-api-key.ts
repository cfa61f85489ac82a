import { type Database, NO_JSON } from '../../storage/database.ts';
import type { Caller } from '../access/caller.ts';
import { record } from '../audit/record.ts';
import { invalidInput } from '../errors.ts';
import { hashSecret, isWeak, parseApiKey } from './api-key.ts';

// Ids of generated keys continue from the highest existing id, so a configured id must leave room below 2^31.
const MAX_DECLARED_ID = 999_999_999;

/**
 * Creates the admin key of the configuration, or replaces its hash. Disables the keys that earlier starts declared.
 * Returns whether the key is weak.
 */
export async function declareApiKey(
  caller: Caller,
  text: string | undefined,
  { database, now }: { database: Database; now: () => Date },
): Promise<{ weak: boolean }> {
  const key = text === undefined ? undefined : parseApiKey(text);
  if (text !== undefined && (!key || key.id > MAX_DECLARED_ID))
    throw invalidInput([
      { path: ['ADMIN_API_KEY'], message: 'must be kite<id>-<secret>, such as kite1- and 32 random bytes in hex' },
    ]);
  const declared = key && { ...declaredKey(key.secret), id: key.id };
  const stale = await database.prisma.apiKey.count({
    where: { source: 'CONFIGURATION', disabled: false, NOT: declared ? { id: declared.id } : {} },
  });
  const current = declared && (await database.prisma.apiKey.findUnique({ where: { id: declared.id } }));
  const isCurrent =
    !declared ||
    (current?.hash === declared.hash && !current.disabled && current.source === declared.source && !current.ownerId);
  if (stale > 0 || !isCurrent)
    await database.write('access', async (tx) => {
      const at = now();
      await tx.apiKey.updateMany({ where: { source: 'CONFIGURATION' }, data: { disabled: true } });
      if (declared) {
        const { id, ...data } = declared;
        await tx.apiKey.upsert({ where: { id }, create: { id, ...data, createdAt: at }, update: data });
      }
      await record(tx, caller, { action: 'api-key.declare', at, changes: { apiKey: { to: declared?.id ?? null } } });
    });
  return { weak: declared?.weak ?? false };
}

function declaredKey(secret: string) {
  return {
    name: 'ADMIN_API_KEY',
    hash: hashSecret(secret),
    roles: ['admin'],
    weak: isWeak(secret),
    source: 'CONFIGURATION',
    disabled: false,
    expiresAt: null,
    // The id may belong to an existing key: remove its owner and its scopes.
    ownerId: null,
    scopes: NO_JSON,
  };
}
