import { loadSeal, sealKeyFile } from '../core-services.ts';
import { systemCaller } from '../domain/access/system-caller.ts';
import { record } from '../domain/audit/record.ts';
import { reseal, sealedKeyIds, unusedKeyIds, verifySealed } from '../domain/credentials/sealed-kubeconfigs.ts';
import type { Database } from '../storage/database.ts';
import { addKey, removeKeys } from '../storage/key-file.ts';
import type { Seal } from '../storage/seal.ts';
import { command } from './command.ts';
import { requireDatabase, withServices } from './database.ts';

export const verifySeal = command({
  positionals: [],
  about: 'decrypts every sealed kubeconfig and lists those that cannot be decrypted',
  options: {},
  run: async ({ config }) => {
    requireDatabase(config);
    const { opened, failures } = await withServices(config, async ({ database }) => {
      const { seal } = await loadSeal(config, database, { isPartial: true });
      return verifySealed(database, seal);
    });
    printFailures(failures);
    process.stdout.write(`${opened} of ${opened + failures.length} sealed kubeconfigs open.\n`);
    return failures.length === 0 ? 0 : 1;
  },
});

export const rotateSeal = command({
  positionals: [],
  synopsis: '[--prune]',
  about:
    'adds a new seal key and reseals every kubeconfig with it; a server may be running. After an interruption, run it again to continue. --prune adds no key and removes unused keys',
  options: { prune: { type: 'boolean' } },
  run: async ({ config, values: { prune } }) => {
    requireDatabase(config);
    return withServices(config, async ({ database }) => {
      const { seal, source } = await loadSeal(config, database);
      const file = source === 'configuration' ? undefined : sealKeyFile(config);
      const isUnfinished = (await sealedKeyIds(database)).some((id) => id !== seal.keyId);
      if (!isUnfinished && !prune) {
        if (file) await addNewKey(database, file, seal);
        else process.stdout.write(HOW_TO_ROTATE);
      }
      const { done, failures } = await reseal(database, seal, (done) =>
        process.stderr.write(`${done} kubeconfigs are resealed.\n`),
      );
      process.stdout.write(`Key ${seal.keyId} is the current seal key; ${done} kubeconfigs were resealed with it.\n`);
      printFailures(failures);
      await reportUnusedKeys(database, seal, prune ? file : undefined);
      return failures.length === 0 ? 0 : 1;
    });
  },
});

const HOW_TO_ROTATE = `SEAL_KEY is set, so its first key remains the current seal key. To rotate it, create a key (openssl rand -base64 32),
restart every server with SEAL_KEY=<current keys>,<new key>, so that each can decrypt what the others will seal; then
restart every server with SEAL_KEY=<new key>,<current keys>, and run this command again with the same SEAL_KEY.
`;

const caller = systemCaller('command line');

/** Adds a new key to the key file. Holds the write lock: two concurrent rotations would lose a key. */
async function addNewKey(database: Database, file: string, seal: Seal): Promise<void> {
  await database.write([], async (tx) => {
    const id = await addKey(file);
    await record(tx, caller, {
      action: 'seal.rotate',
      at: new Date(),
      changes: { sealKey: { from: seal.keyId, to: id } },
    });
  });
  seal.refresh();
}

/** Reports for each older key whether it is still used. If `file` is set, removes the unused keys from it. */
async function reportUnusedKeys(database: Database, seal: Seal, file: string | undefined): Promise<void> {
  const older = seal.keyIds.filter((id) => id !== seal.keyId);
  // Hold the write lock, so that no kubeconfig is sealed with a key between the check and its removal.
  const unused = await database.write([], async (tx) => {
    const ids = await unusedKeyIds(tx, older);
    if (file && ids.length > 0) {
      await removeKeys(file, ids);
      await record(tx, caller, { action: 'seal.prune', at: new Date(), changes: { sealKeys: { from: ids } } });
    }
    return ids;
  });
  for (const id of older) {
    if (!unused.includes(id)) process.stdout.write(`Key ${id} is still needed.\n`);
    else if (file) process.stdout.write(`Key ${id} was removed from ${file}; older backups still need it.\n`);
    else process.stdout.write(`Key ${id} is no longer needed, except by older backups.\n`);
  }
}

function printFailures(failures: readonly { name: string; problem: string }[]): void {
  for (const { name, problem } of failures) process.stderr.write(`${JSON.stringify(name)} does not open: ${problem}\n`);
}
