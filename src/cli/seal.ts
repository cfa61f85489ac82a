import type { Config } from '../config.ts';
import { systemCaller } from '../domain/access/system-caller.ts';
import { record } from '../domain/audit.ts';
import { reseal, sealedKeyIds, unusedKeyIds, verifySealed } from '../domain/clusters/sealed-kubeconfigs.ts';
import type { Database } from '../storage/database.ts';
import { addKey, type KeyRing, loadKeyRing, removeKeys } from '../storage/key-file.ts';
import { Seal } from '../storage/seal.ts';
import type { Command } from './command.ts';
import { keyFile, requireDatabase, withDatabase } from './database.ts';

export const verifySeal: Command = {
  positionals: [],
  about: 'opens every sealed kubeconfig and names those that do not open',
  options: {},
  run: async ({ config }) => {
    requireDatabase(config);
    const { opened, faults } = await withDatabase(config, async (database) => {
      const { keys } = await readRing(config, database);
      return verifySealed(database, new Seal(keys));
    });
    tellFaults(faults);
    process.stdout.write(`${opened} of ${opened + faults.length} sealed kubeconfigs open.\n`);
    return faults.length === 0 ? 0 : 1;
  },
};

export const rotateSeal: Command = {
  positionals: [],
  synopsis: '[--prune]',
  about:
    'adds a new key and seals everything with it, beside a running server; run again after an interruption, it goes on. --prune adds none, and takes out the keys that nothing uses',
  options: { prune: { type: 'boolean' } },
  run: async ({ config, values: { prune } }) => {
    requireDatabase(config);
    return withDatabase(config, async (database) => {
      const ring = await readRing(config, database);
      const seal = new Seal(ring.keys, ring.reread);
      const file = ring.source === 'configuration' ? undefined : keyFile(config);
      const unfinished = (await sealedKeyIds(database)).some((id) => id !== seal.keyId);
      if (!unfinished && !prune) {
        if (file) await begin(database, file, seal);
        else process.stdout.write(HOW_TO_BEGIN);
      }
      const { done, faults } = await reseal(database, seal, (done) =>
        process.stderr.write(`${done} kubeconfigs are sealed anew.\n`),
      );
      process.stdout.write(`Key ${seal.keyId} seals; ${done} kubeconfigs were sealed anew with it.\n`);
      tellFaults(faults);
      await tellUnused(database, seal, prune === true ? file : undefined);
      return faults.length === 0 ? 0 : 1;
    });
  },
};

const HOW_TO_BEGIN = `SEAL_KEY is given, so its first key stays the one that seals. To change it, make one (openssl rand -base64 32),
restart every server with SEAL_KEY=<the present ones>,<new key>, so that each can open what the others will seal; then
restart every server with SEAL_KEY=<new key>,<the present ones>, and run this again with the same SEAL_KEY.
`;

const caller = systemCaller('command line');

/** Under the lock of writers: two at once would lose a key. */
async function begin(database: Database, file: string, seal: Seal): Promise<void> {
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

/** Names the keys that nothing is sealed with, and takes them out of the file where that is asked for. */
async function tellUnused(database: Database, seal: Seal, file: string | undefined): Promise<void> {
  const older = seal.keyIds.filter((id) => id !== seal.keyId);
  // Under the lock of writers: nobody seals with a key between the look and its end.
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
    else if (file) process.stdout.write(`Key ${id} was taken out of ${file}; a backup from before needs it.\n`);
    else process.stdout.write(`Key ${id} is no longer needed, but by backups from before.\n`);
  }
}

function readRing(config: Config, database: Database): Promise<KeyRing> {
  return loadKeyRing({
    file: keyFile(config),
    given: config.sealKey,
    sealedKeyIds: () => sealedKeyIds(database),
  });
}

function tellFaults(faults: readonly { name: string; problem: string }[]): void {
  for (const { name, problem } of faults) process.stderr.write(`${JSON.stringify(name)} does not open: ${problem}\n`);
}
