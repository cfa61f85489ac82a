import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CLUSTERS } from './support/app.ts';
import { itOfFile, rowsOf } from './support/database.ts';
import { POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { firstKey, launchProcess, type Running, startProcess } from './support/process.ts';

const config = kubeconfig();
const WRITERS = 4;

/** What clients were told: the description of each cluster by its name. */
type Told = Map<string, string>;
/** What was asked and not answered when the process died: the name, and what may stand under it. */
type Unanswered = Map<string, readonly (string | undefined)[]>;

class Refused extends Error {}

async function send({ url }: Running, key: string, method: string, path: string, body?: object) {
  const response = await fetch(`${url}${path}`, {
    ...{ method, headers: { Authorization: key } },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const answer = (await response.json()) as { id?: number; error?: string };
  if (response.status >= 400) throw new Refused(`${method} answered ${response.status}: ${answer.error}`);
  return answer;
}

/** Creates, updates, moves the default and deletes until the process is gone. */
async function write(
  app: Running,
  key: string,
  prefix: string,
  told: Told,
  unanswered: Unanswered,
  onAnswer: () => void,
) {
  const step = async (name: string, next: string | undefined, run: () => Promise<{ id?: number }>) => {
    unanswered.set(name, [told.get(name), next]);
    const answer = await run();
    unanswered.delete(name);
    if (next === undefined) told.delete(name);
    else told.set(name, next);
    onAnswer();
    return answer.id ?? 0;
  };
  for (let index = 0; ; index++) {
    const name = `${prefix}-${index}`;
    const path = (id: number) => `${CLUSTERS}${id}`;
    const id = await step(name, 'created', () =>
      send(app, key, 'POST', CLUSTERS, { name, config, description: 'created' }),
    );
    const change = { description: 'updated', ...(index % 2 === 0 ? { isDefault: true } : { config: kubeconfig() }) };
    await step(name, 'updated', () => send(app, key, 'PUT', path(id), change));
    // Only where it has not been the default: whether it still is, the others decide.
    if (index % 2 === 1) await step(name, undefined, () => send(app, key, 'DELETE', path(id)));
  }
}

/** Runs four writers until so many answers have come, kills the process, and tells what nobody was told. */
async function killAmongWrites(app: Running, key: string, prefix: string, told: Told, answers: number) {
  const unanswered: Unanswered = new Map();
  let come = 0;
  const onAnswer = () => {
    if (++come === answers) app.kill('SIGKILL');
  };
  const writers = Array.from({ length: WRITERS }, (_, writer) =>
    write(app, key, `${prefix}-${writer}`, told, unanswered, onAnswer),
  );
  // A connection that broke, and never an answer that refuses.
  for (const settled of await Promise.allSettled(writers))
    expect((settled as PromiseRejectedResult).reason).not.toBeInstanceOf(Refused);
  expect((await app.ended).signal).toBe('SIGKILL');
  return unanswered;
}

async function listed({ url }: Running, key: string) {
  const response = await fetch(`${url}${CLUSTERS}`, { headers: { Authorization: key } });
  return (await response.json()) as { name: string; description: string; isDefault: boolean }[];
}

async function expectSound(dataDir: string): Promise<void> {
  const all = (sql: string) => rowsOf(dataDir, sql);
  if (!POSTGRES) {
    expect(await all('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }]);
    expect(await all('PRAGMA foreign_key_check')).toEqual([]);
  }
  // Each change and its record are one: no cluster has more revisions than records of changes, or fewer.
  const torn = `SELECT "name", "revision" FROM "Cluster" WHERE "revision" <>
    (SELECT count(*) FROM "AuditRecord" WHERE "clusterUid" = "Cluster"."uid")`;
  expect(await all(torn)).toEqual([]);
  const bare = 'SELECT "name" FROM "Cluster" WHERE "id" NOT IN (SELECT "clusterId" FROM "ClusterCredential")';
  expect(await all(bare)).toEqual([]);
}

async function killAgainAndAgain(rounds: number): Promise<number> {
  const dataDir = await temporaryDirectory();
  let told: Told = new Map();
  let unanswered: Unanswered = new Map();
  let answered = 0;
  for (let round = 0; round <= rounds; round++) {
    const app = await startProcess({ dataDir });
    const key = await firstKey(dataDir);
    const stands = await listed(app, key);
    const seen = new Map(stands.map(({ name, description }) => [name, description]));
    for (const [name, allowed] of unanswered) expect(allowed).toContain(seen.get(name));
    const settled = (known: Told) => [...known].filter(([name]) => !unanswered.has(name)).sort();
    expect(settled(seen)).toEqual(settled(told));
    expect(stands.filter(({ isDefault }) => isDefault).length).toBeLessThanOrEqual(1);
    await expectSound(dataDir);
    expect(app.output()).not.toMatch(/"level":[456]0/);
    told = seen;
    if (round === rounds) {
      expect((await app.stop()).code).toBe(0);
      break;
    }
    const answers = 5 + Math.floor(Math.random() * 60);
    unanswered = await killAmongWrites(app, key, `r${round}`, told, answers);
    answered += answers;
  }
  expect(await readdir(dataDir)).toEqual(
    POSTGRES ? ['admin-api-key'] : ['admin-api-key', 'kitestring.db', 'seal-keys'],
  );
  return answered;
}

describe('kill -9', () => {
  it('among writes, fifty times: every answer given is kept, nothing is torn, each start is clean', {
    timeout: 180_000,
  }, async () => {
    const answered = await Promise.all([killAgainAndAgain(25), killAgainAndAgain(25)]);
    expect(answered[0] + answered[1]).toBeGreaterThan(250);
  });

  itOfFile.each(['kitestring.db', 'kitestring.db-wal', 'kitestring.db-migrating', 'seal-keys', 'admin-api-key'])(
    'in a first start, when %s appears: the next start finishes it',
    async (file) => {
      const dataDir = await temporaryDirectory();
      const starting = launchProcess({ dataDir });
      // The last of them stays: one that came and went unseen is no reason to wait for ever.
      while (![file, 'admin-api-key'].some((name) => existsSync(join(dataDir, name))))
        await new Promise((resolve) => setImmediate(resolve));
      starting.kill('SIGKILL');
      expect((await starting.ended).signal).toBe('SIGKILL');

      const app = await startProcess({ dataDir });
      const key = await firstKey(dataDir);
      expect(await listed(app, key)).toEqual([]);
      await expectSound(dataDir);
      await app.stop();
      expect(
        (await readFile(join(dataDir, 'seal-keys'), 'utf8')).split('\n').filter((line) => /^[\w-]{43}$/.test(line)),
      ).toHaveLength(1);
    },
  );
});
