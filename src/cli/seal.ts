import { sealedKeyIds, verifySealed } from '../domain/clusters/sealed.ts';
import { loadKeyRing } from '../storage/key-file.ts';
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
      const { keys } = await loadKeyRing({
        file: keyFile(config),
        given: config.sealKey,
        sealedKeyIds: () => sealedKeyIds(database),
      });
      return verifySealed(database, new Seal(keys));
    });
    for (const { name, problem } of faults) process.stderr.write(`${JSON.stringify(name)} does not open: ${problem}\n`);
    process.stdout.write(`${opened} of ${opened + faults.length} sealed kubeconfigs open.\n`);
    return faults.length === 0 ? 0 : 1;
  },
};
