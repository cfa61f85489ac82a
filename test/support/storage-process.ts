// Another process over the same files: `node storage-process.ts <task> <directory>`.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { loadKeyRing } from '../../src/storage/key-file.ts';
import { openDatabase } from '../../src/storage/open-database.ts';
import { clusterRow } from './cluster-row.ts';
import { locationOf } from './database-location.ts';
import { lengthOf } from './length.ts';

const [what = '', directory = ''] = process.argv.slice(2);

if (what === 'key') {
  const { keys } = await loadKeyRing({ file: join(directory, 'seal.key'), sealedKeyIds: async () => [] });
  console.log(keys.map(({ id }) => id).join());
} else {
  const database = await openDatabase(locationOf(directory));
  if (what === 'raise') await database.write('access', async () => {});
  if (what === 'soak') console.log(JSON.stringify(await soak()));
  await database.close();

  async function soak() {
    const { id } = await database.write('registry', (tx) => tx.cluster.create({ data: clusterRow('soaked') }));
    const run = async (transactions: number) => {
      for (let done = 0; done < transactions; done++) {
        await database.write('registry', (tx) =>
          tx.cluster.update({ where: { id }, data: { description: String(done), revision: { increment: 1 } } }),
        );
        await database.counters();
      }
      globalThis.gc?.();
      return { files: readdirSync('/proc/self/fd').length, bytes: process.memoryUsage.rss() };
    };
    const transactions = lengthOf({ short: 4_000, long: 10_000 });
    return { warm: await run(transactions / 4), after: await run(transactions) };
  }
}
