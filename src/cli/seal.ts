import { openDomain } from '../app.ts';
import { verifySealed } from '../domain/clusters/sealed.ts';
import { openLog } from '../log.ts';
import type { Command } from './command.ts';

export const verifySeal: Command = {
  parameters: '',
  about: 'opens every sealed kubeconfig and names those that do not open',
  options: {},
  run: async ({ config }) => {
    const domain = await openDomain(config, await openLog({ level: 'silent', pretty: false }));
    try {
      const { opened, faults } = await verifySealed(domain.database, domain.seal);
      for (const { name, problem } of faults)
        process.stderr.write(`${JSON.stringify(name)} does not open: ${problem}\n`);
      process.stdout.write(`${opened} of ${opened + faults.length} sealed kubeconfigs open.\n`);
      return faults.length === 0 ? 0 : 1;
    } finally {
      await domain.close();
    }
  },
};
