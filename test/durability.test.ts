import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CLUSTERS } from './support/app.ts';
import { itOnSqlite, rowsOf } from './support/database.ts';
import { POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { lengthOf } from './support/length.ts';
import { atLoad } from './support/load.ts';
import { firstKey, launchProcess, type Running, startProcess } from './support/process.ts';

const config = kubeconfig();
const WRITERS = 4;
/** Kills of each of two servers. */
const KILLS = lengthOf({ short: 3, long: 25 });
/** Responses between a start and a kill: at least MIN_RESPONSES, and fewer than MIN_RESPONSES + SPREAD. */
const MIN_RESPONSES = 5;
const SPREAD = 60;

/** Acknowledged writes: the description of each cluster by its name. */
type Acknowledged = Map<string, string>;
/** Requests without a response when the process died: the name, and the descriptions that may be stored for it. */
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

/** Creates, updates and deletes clusters and moves the default until the process is gone. */
async function write(
  app: Running,
  key: string,
  prefix: string,
  acknowledged: Acknowledged,
  unanswered: Unanswered,
  onAnswer: () => void,
) {
  const step = async (name: string, next: string | undefined, run: () => Promise<{ id?: number }>) => {
    unanswered.set(name, [acknowledged.get(name), next]);
    const answer = await run();
    unanswered.delete(name);
    if (next === undefined) acknowledged.delete(name);
    else acknowledged.set(name, next);
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
    // Delete only clusters that never were the default: other writers decide whether one still is.
    if (index % 2 === 1) await step(name, undefined, () => send(app, key, 'DELETE', path(id)));
  }
}

/** Runs four writers until the given number of responses, kills the process, and returns the unanswered requests. */
async function killAmongWrites(app: Running, key: string, prefix: string, acknowledged: Acknowledged, answers: number) {
  const unanswered: Unanswered = new Map();
  let received = 0;
  const onAnswer = () => {
    if (++received === answers) app.kill('SIGKILL');
  };
  const writers = Array.from({ length: WRITERS }, (_, writer) =>
    write(app, key, `${prefix}-${writer}`, acknowledged, unanswered, onAnswer),
  );
  // Each writer must end with a broken connection, never with an error response.
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
  // A change and its audit record are atomic: every cluster has as many records as revisions.
  const torn = `SELECT "name", "revision" FROM "Cluster" WHERE "revision" <>
    (SELECT count(*) FROM "AuditRecord" WHERE "clusterUid" = "Cluster"."uid")`;
  expect(await all(torn)).toEqual([]);
  const bare = 'SELECT "name" FROM "Cluster" WHERE "id" NOT IN (SELECT "clusterId" FROM "ClusterCredential")';
  expect(await all(bare)).toEqual([]);
}

async function killAgainAndAgain(rounds: number): Promise<number> {
  const dataDir = await temporaryDirectory();
  let acknowledged: Acknowledged = new Map();
  let unanswered: Unanswered = new Map();
  let answered = 0;
  for (let round = 0; round <= rounds; round++) {
    const app = await startProcess({ dataDir });
    const key = await firstKey(dataDir);
    const clusters = await listed(app, key);
    const seen = new Map(clusters.map(({ name, description }) => [name, description]));
    for (const [name, allowed] of unanswered) expect(allowed).toContain(seen.get(name));
    const settled = (known: Acknowledged) => [...known].filter(([name]) => !unanswered.has(name)).sort();
    expect(settled(seen)).toEqual(settled(acknowledged));
    expect(clusters.filter(({ isDefault }) => isDefault).length).toBeLessThanOrEqual(1);
    await expectSound(dataDir);
    expect(app.output()).not.toMatch(/"level":[456]0/);
    acknowledged = seen;
    if (round === rounds) {
      expect((await app.stop()).code).toBe(0);
      break;
    }
    const answers = MIN_RESPONSES + Math.floor(Math.random() * SPREAD);
    unanswered = await killAmongWrites(app, key, `r${round}`, acknowledged, answers);
    answered += answers;
  }
  expect(await readdir(dataDir)).toEqual(
    POSTGRES ? ['admin-api-key'] : ['admin-api-key', 'kitestring.db', 'seal-keys'],
  );
  return answered;
}

describe('kill -9', () => {
  it('after repeated kills among writes, every acknowledged change is stored and every start is clean', {
    timeout: atLoad(180_000),
  }, async () => {
    const answered = await Promise.all([killAgainAndAgain(KILLS), killAgainAndAgain(KILLS)]);
    expect(answered[0] + answered[1]).toBeGreaterThan(2 * KILLS * MIN_RESPONSES);
  });

  itOnSqlite.each(['kitestring.db', 'kitestring.db-wal', 'kitestring.db-migrating', 'seal-keys', 'admin-api-key'])(
    'a kill during the first start when %s appears is recovered by the next start',
    async (file) => {
      const dataDir = await temporaryDirectory();
      const starting = launchProcess({ dataDir });
      // Also stop at the last file, in case a temporary one came and went unnoticed.
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
