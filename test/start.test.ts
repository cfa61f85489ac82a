import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { CLUSTERS } from './support/app.ts';
import { itOnSqlite, rowsOf } from './support/database.ts';
import { databaseOf, POSTGRES } from './support/database-location.ts';
import { temporaryDirectory } from './support/directory.ts';
import { kubeconfig } from './support/kubeconfigs.ts';
import { atLoad } from './support/load.ts';
import { failToStart, firstKey, type Running, startProcess } from './support/process.ts';
import { onTestFinished } from './support/running-test.ts';

const WEAK = 'kite7-adminsecret';
const STRONG = `kite7-${'0123456789abcdef'.repeat(4)}`;
const SEAL_KEY = Buffer.alloc(32, 7).toString('base64');

async function statusOf({ url }: { url: string }, key: string, headers: Record<string, string> = {}): Promise<number> {
  const response = await fetch(`${url}${CLUSTERS}`, { headers: { Authorization: key, ...headers } });
  await response.arrayBuffer();
  return response.status;
}

async function create({ url }: { url: string }, key: string, body: object): Promise<Response> {
  return fetch(`${url}${CLUSTERS}`, { method: 'POST', headers: { Authorization: key }, body: JSON.stringify(body) });
}

const modeOf = async (...path: string[]) => (await stat(join(...path))).mode & 0o777;

it.each([
  ['0.0.0.0/0', true],
  ['10.0.0.1, ::/0', true],
  ['10.0.0.0/8', false],
])('a start with the trusted proxies %s warns that every client can forge its address: %s', async (proxies, warns) => {
  const app = await startProcess({ dataDir: await temporaryDirectory(), environment: { TRUSTED_PROXIES: proxies } });
  expect(/TRUSTED_PROXIES.*forge/.test(app.output())).toBe(warns);
});

describe('a first start', () => {
  it('a first start creates the database, the key file and the admin key, each readable only by its owner', async () => {
    const dataDir = join(await temporaryDirectory(), 'not', 'there yet');
    const app = await startProcess({ dataDir });
    const key = await firstKey(dataDir);
    expect(await statusOf(app, key)).toBe(200);
    expect(await modeOf(dataDir)).toBe(0o700);
    const files = POSTGRES ? ['admin-api-key'] : ['admin-api-key', 'seal-keys', 'kitestring.db'];
    for (const file of files) expect(await modeOf(dataDir, file)).toBe(0o600);
    expect(app.output()).toContain(join(dataDir, 'admin-api-key'));
    expect(app.output()).toContain(`"database":"${POSTGRES ? 'postgres' : 'sqlite'}"`);
    expect(app.output()).not.toContain(key);
    expect(app.output()).not.toContain(key.slice(6));
    await app.stop();

    const again = await startProcess({ dataDir });
    expect(await statusOf(again, key)).toBe(200);
    expect(await rowsOf(dataDir, 'SELECT "id" FROM "ApiKey"')).toHaveLength(1);
    expect(again.output()).not.toContain('admin-api-key');
  });

  it('a first start keeps the admin key file of another registry, which may be its only copy', async () => {
    const dataDir = await temporaryDirectory();
    await writeFile(join(dataDir, 'admin-api-key'), 'of before');
    await writeFile(join(dataDir, 'admin-api-key.1'), 'of long before');
    const app = await startProcess({ dataDir });
    expect(await statusOf(app, await firstKey(dataDir))).toBe(200);
    expect(await readFile(join(dataDir, 'admin-api-key.2'), 'utf8')).toBe('of before');
    expect(await readFile(join(dataDir, 'admin-api-key.1'), 'utf8')).toBe('of long before');
  });

  it('a first start prints the key only on a terminal', async () => {
    const dataDir = await temporaryDirectory();
    const main = fileURLToPath(new URL('../src/main.js', import.meta.url));
    const child = spawn('script', ['-qec', `exec ${process.execPath} ${main}`, '/dev/null'], {
      env: { PATH: process.env.PATH ?? '', PORT: '0', METRICS_PORT: '0', DATA_DIR: dataDir, ...databaseOf(dataDir) },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
    });
    await expect.poll(() => output, { timeout: 10_000 }).toContain('Kitestring listens');
    // Ctrl-C, the way to stop a program on a terminal.
    child.stdin.write('\x03');
    expect(await once(child, 'close')).toEqual([0, null]);
    const [key = ''] = /kite1-\S+/.exec(output) ?? [];
    expect(await readdir(dataDir)).not.toContain('admin-api-key');
    expect(await statusOf(await startProcess({ dataDir }), key)).toBe(200);
  });

  it('two concurrent first starts act as one', async () => {
    const dataDir = await temporaryDirectory();
    const apps = await Promise.all([startProcess({ dataDir }), startProcess({ dataDir })]);
    const key = await firstKey(dataDir);
    for (const app of apps) expect(await statusOf(app, key)).toBe(200);
    expect(await rowsOf(dataDir, 'SELECT "id" FROM "ApiKey"')).toEqual([{ id: 1 }]);
    // A value that one server seals opens on the other.
    const [first, second] = apps as [Running, Running];
    const { id } = (await (await create(first, key, { name: 'one', config: kubeconfig() })).json()) as { id: number };
    const response = await fetch(`${second.url}${CLUSTERS}${id}`, {
      ...{ method: 'PUT', headers: { Authorization: key }, body: JSON.stringify({ config: kubeconfig() }) },
    });
    expect(response.status).toBe(200);
    expect(await readdir(dataDir)).toEqual(expect.not.arrayContaining([expect.stringMatching(/migrating|draft/)]));
  });

  it('a first start accepts NODE_ENV=production', async () => {
    const dataDir = await temporaryDirectory();
    const app = await startProcess({ dataDir, environment: { NODE_ENV: 'production' } });
    expect(await statusOf(app, await firstKey(dataDir))).toBe(200);
  });
});

describe('ADMIN_API_KEY', () => {
  it('the ADMIN_API_KEY is created, marked, replaced when its secret changes and disabled when the variable is unset', async () => {
    const dataDir = await temporaryDirectory();
    const marks = async () => {
      const rows = await rowsOf(dataDir, 'SELECT "id", "source", "weak", "disabled" FROM "ApiKey"');
      return rows.map((row) => ({ ...row, weak: Boolean(row.weak), disabled: Boolean(row.disabled) }));
    };
    const declared = { id: 7, source: 'CONFIGURATION' };

    let app = await startProcess({ dataDir, environment: { ADMIN_API_KEY: WEAK } });
    expect(await statusOf(app, WEAK)).toBe(200);
    expect(await marks()).toEqual([{ ...declared, weak: true, disabled: false }]);
    expect(app.output()).toMatch(/ADMIN_API_KEY is weak.*openssl rand/);
    expect(app.output()).not.toContain('adminsecret');
    expect(await readdir(dataDir)).not.toContain('admin-api-key');
    for (const header of ['Forwarded', 'X-Forwarded-For', 'X-Forwarded-Proto'])
      expect(await statusOf(app, WEAK, { [header]: 'for=10.0.0.1' })).toBe(401);
    await app.stop();

    app = await startProcess({ dataDir, environment: { ADMIN_API_KEY: STRONG } });
    expect([await statusOf(app, WEAK), await statusOf(app, STRONG)]).toEqual([401, 200]);
    expect(await statusOf(app, STRONG, { Forwarded: 'for=10.0.0.1' })).toBe(200);
    expect(await marks()).toEqual([{ ...declared, weak: false, disabled: false }]);
    expect(app.output()).not.toContain('is weak');
    await app.stop();

    app = await startProcess({ dataDir });
    expect(await statusOf(app, STRONG)).toBe(401);
    expect(await marks()).toEqual([{ ...declared, weak: false, disabled: true }]);
  });

  it('a weak ADMIN_API_KEY is refused unless the server listens only on loopback', async () => {
    const dataDir = await temporaryDirectory();
    const environment = { ADMIN_API_KEY: WEAK, HOST: '0.0.0.0', SEAL_KEY };
    const app = await startProcess({ dataDir, environment });
    const local = { url: app.url.replace('0.0.0.0', '127.0.0.1') };
    expect(await statusOf(local, WEAK)).toBe(401);
  });

  it('the ADMIN_API_KEY replaces a stored key that has its id', async () => {
    const dataDir = await temporaryDirectory();
    await (await startProcess({ dataDir })).stop();
    const first = await firstKey(dataDir);
    const declared = STRONG.replace('kite7', 'kite1');
    const app = await startProcess({ dataDir, environment: { ADMIN_API_KEY: declared } });
    expect([await statusOf(app, first), await statusOf(app, declared)]).toEqual([401, 200]);
  });
});

describe('IMPORT_KUBECONFIG', () => {
  it('IMPORT_KUBECONFIG is imported only into an empty registry, and KUBECONFIG is never read', async () => {
    const dataDir = await temporaryDirectory();
    const file = join(dataDir, 'kubeconfig');
    await writeFile(file, kubeconfig());
    const names = () => rowsOf(dataDir, 'SELECT "name", "isDefault" FROM "Cluster"');

    await (await startProcess({ dataDir, environment: { KUBECONFIG: file } })).stop();
    expect(await names()).toEqual([]);
    await (await startProcess({ dataDir, environment: { IMPORT_KUBECONFIG: file } })).stop();
    const imported = await names();
    expect(imported).toHaveLength(1);
    expect(Boolean(imported[0]?.isDefault)).toBe(true);

    await rm(file);
    await (await startProcess({ dataDir, environment: { IMPORT_KUBECONFIG: file } })).stop();
    expect(await names()).toEqual(imported);
  });
});

describe('a start that fails', () => {
  const refusal = async (environment: Record<string, string>, dataDir?: string, before?: string) => {
    const directory = dataDir ?? (await temporaryDirectory());
    const { code, stdout, stderr } = await failToStart({
      dataDir: directory,
      environment,
      ...(before === undefined ? {} : { before }),
    });
    expect(code).toBe(1);
    // One line, without a stack, and without any output that looks like success.
    expect(stderr).toMatch(/^[^\n]+\n$/);
    expect(stderr).not.toMatch(/ {4}at |Error:/);
    expect(stdout).not.toContain('listens');
    return stderr;
  };

  it('a start reports each kind of invalid variable, without the secret', async () => {
    expect(await refusal({ PORT: 'http' })).toMatch(/^PORT must be/);
    expect(await refusal({ HOST: '0.0.0.0', SEAL_KEY: '' })).toMatch(/set SEAL_KEY/);
    expect(await refusal({ DATABASE_URL: 'postgresql://db/x', SEAL_KEY: '' })).toMatch(/^DATABASE_URL is set, so/);
    for (const [name, value] of [
      ['SEAL_KEY', 'canary-too-short'],
      ['ADMIN_API_KEY', 'canary'],
      ['ADMIN_API_KEY', 'kite2147483647-canary'],
    ] as const) {
      const sentence = await refusal({ [name]: value });
      expect(sentence).toContain(name);
      expect(sentence).not.toContain('canary');
    }
  });

  it('a start reports a kubeconfig to import that is missing or invalid', async () => {
    const directory = await temporaryDirectory();
    const file = join(directory, 'kubeconfig');
    expect(await refusal({ IMPORT_KUBECONFIG: file })).toMatch(/^IMPORT_KUBECONFIG names .*ENOENT/);
    await writeFile(file, 'token: [canary');
    const sentence = await refusal({ IMPORT_KUBECONFIG: file });
    expect(sentence).toMatch(/^IMPORT_KUBECONFIG: /);
    expect(sentence).not.toContain('canary');
    await writeFile(file, Buffer.from('users: [{name: é}]', 'latin1'));
    expect(await refusal({ IMPORT_KUBECONFIG: file })).toMatch(/^IMPORT_KUBECONFIG: .* is not valid UTF-8: save it as/);
  });

  it('a start reports that the port is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    onTestFinished(() => void taken.close());
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    expect(await refusal({ PORT: String(port) })).toMatch(`Port ${port} on 127.0.0.1 is in use`);
  });

  it('a start reports that the machine does not have the address to listen on', async () => {
    expect(await refusal({ HOST: '192.0.2.1', SEAL_KEY })).toMatch(/^Cannot listen on 192.0.2.1/);
  });

  it('a start reports that the data directory cannot be written', async () => {
    const file = join(await temporaryDirectory(), 'file');
    await writeFile(file, '');
    for (const dataDir of [file, join(file, 'data'), '/proc/kitestring'])
      expect(await refusal({}, dataDir)).toMatch(/cannot be written \(\w+\).*DATA_DIR/);
  });

  itOnSqlite('a start reports a file that is not a database, and leaves it unchanged', async () => {
    const dataDir = await temporaryDirectory();
    const text = 'not a database, but somebody may want it\n'.repeat(100);
    await writeFile(join(dataDir, 'kitestring.db'), text);
    expect(await refusal({}, dataDir)).toMatch(/is not a database: move it away/);
    expect(await readFile(join(dataDir, 'kitestring.db'), 'utf8')).toBe(text);
  });

  itOnSqlite('a start reports that a newer version has written the database', async () => {
    const dataDir = await temporaryDirectory();
    await (await startProcess({ dataDir })).stop();
    const database = new DatabaseSync(join(dataDir, 'kitestring.db'));
    database.exec(`INSERT INTO _prisma_migrations (id, checksum, finished_at, migration_name, applied_steps_count)
      VALUES ('later', 'x', CURRENT_TIMESTAMP, '29990101000000_later', 1)`);
    database.close();
    expect(await refusal({}, dataDir)).toMatch(/29990101000000_later.*newer/);
  });

  itOnSqlite('a start reports that the key of sealed data is missing, and creates no new key', async () => {
    const dataDir = await temporaryDirectory();
    const app = await startProcess({ dataDir });
    const key = await firstKey(dataDir);
    expect((await create(app, key, { name: 'one', config: kubeconfig() })).status).toBe(201);
    await app.stop();
    const kept = await readFile(join(dataDir, 'seal-keys'));
    await rm(join(dataDir, 'seal-keys'));
    expect(await refusal({}, dataDir)).toMatch(/key file .* is missing: restore it, or set SEAL_KEY/);
    expect(await readdir(dataDir)).not.toContain('seal-keys');
    expect(await refusal({ SEAL_KEY }, dataDir)).toMatch(/SEAL_KEY does not have/);
    await mkdir(join(dataDir, 'seal-keys'));
    expect(await refusal({}, dataDir)).toMatch(/key file .* cannot be read/);
    await rm(join(dataDir, 'seal-keys'), { recursive: true });
    await writeFile(join(dataDir, 'seal-keys'), kept, { mode: 0o600 });
    expect(await statusOf(await startProcess({ dataDir }), key)).toBe(200);
  });

  it('a start reports that Node is too old', async () => {
    const before = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '22.3.0' } })`;
    expect(await refusal({}, undefined, before)).toMatch(/needs Node 24/);
  });

  it('a start that fails because of a program error reports only the location', async () => {
    const dataDir = await temporaryDirectory();
    const { code, stdout, stderr } = await failToStart({
      dataDir,
      before: `import { Server } from 'node:net'; Server.prototype.address = () => { throw new RangeError('can' + 'ary') }`,
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^Kitestring cannot start [^\n]*RangeError[^\n]*\n$/);
    expect(stdout + stderr).not.toContain('canary');
    expect(stdout).toMatch(/"level":60.*"type":"RangeError"/);
  });
});

describe('a shutdown', () => {
  const WRITER = { name: '', description: 'x'.repeat(1_000) };

  async function open({ url }: Running, text: string): Promise<{ socket: Socket; received: () => string }> {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    onTestFinished(() => void socket.destroy());
    let received = '';
    socket.setEncoding('utf8').on('data', (data) => {
      received += data;
    });
    socket.on('error', () => {});
    await once(socket, 'connect');
    await new Promise((resolve) => socket.write(text, resolve));
    return { socket, received: () => received };
  }

  it.each(['SIGTERM', 'SIGINT'] as const)(
    '%s stops the server: idle connections do not delay it, and no acknowledged change is lost',
    async (signal) => {
      const dataDir = await temporaryDirectory();
      const app = await startProcess({ dataDir });
      const key = await firstKey(dataDir);
      const idle = await open(app, `GET ${CLUSTERS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${key}\r\n\r\n`);
      await once(idle.socket, 'data');
      const untouched = await open(app, '');

      let acknowledged = 0;
      let asked = 0;
      const write = async (writer: number) => {
        for (let index = 0; ; index++) {
          const response = await create(app, key, { ...WRITER, name: `w${writer}-${index}` });
          if (response.status !== 201) throw new Error(`answered ${response.status}`);
          await response.arrayBuffer();
          if (++acknowledged === 40) {
            asked = performance.now();
            app.kill(signal);
          }
        }
      };
      const refused = await Promise.allSettled([write(1), write(2), write(3), write(4)]);
      const { code, output } = { ...(await app.ended), output: app.output() };
      expect(code).toBe(0);
      expect(performance.now() - asked).toBeLessThan(atLoad(5_000));
      // The server refused new connections; it never answered with an error.
      for (const { status, reason } of refused as PromiseRejectedResult[])
        expect([status, reason instanceof TypeError]).toEqual(['rejected', true]);
      expect(output).toContain('"msg":"shutting down"');
      const [{ count } = {}] = await rowsOf(dataDir, 'SELECT count(*) AS "count" FROM "Cluster"');
      expect(Number(count)).toBeGreaterThanOrEqual(acknowledged);
      untouched.socket.destroy();
    },
  );

  it('a shutdown ends event streams immediately and as complete responses', async () => {
    const dataDir = await temporaryDirectory();
    const app = await startProcess({ dataDir });
    const key = await firstKey(dataDir);
    const response = await fetch(`${app.url}/graphql`, {
      method: 'POST',
      headers: { Authorization: key, Accept: 'text/event-stream', 'Content-Type': 'application/json' },
      body: JSON.stringify({ query: 'subscription { clusterChanged { __typename } }' }),
    });
    expect(response.headers.get('content-type')).toMatch(/^text\/event-stream/);
    const streamed = response.text();
    expect((await create(app, key, { name: 'told' })).status).toBe(201);
    const began = performance.now();
    expect((await app.stop()).code).toBe(0);
    expect(performance.now() - began).toBeLessThan(atLoad(5_000));
    expect(await streamed).toContain('event: complete');
  });

  it('a shutdown aborts a body that never arrives, within ten seconds', async () => {
    const dataDir = await temporaryDirectory();
    const app = await startProcess({ dataDir });
    const key = await firstKey(dataDir);
    const head = `Host: localhost\r\nAuthorization: ${key}\r\nContent-Length: 1000\r\n\r\n{"name":`;
    await open(app, `POST ${CLUSTERS} HTTP/1.1\r\n${head}`);
    await open(app, `POST /graphql HTTP/1.1\r\n${head}`);
    // Both bodies are being read: a later request is answered.
    expect(await statusOf(app, key)).toBe(200);
    const began = performance.now();
    const { code } = await app.stop();
    expect(code).toBe(0);
    expect(performance.now() - began).toBeLessThan(atLoad(10_000));
  });

  it('a second signal stops the server immediately', async () => {
    const dataDir = await temporaryDirectory();
    const app = await startProcess({ dataDir });
    const key = await firstKey(dataDir);
    await open(app, `POST /graphql HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${key}\r\nContent-Length: 9\r\n\r\n{`);
    expect(await statusOf(app, key)).toBe(200);
    const began = performance.now();
    app.kill('SIGTERM');
    await expect.poll(() => fetch(app.url).catch(() => 'refused')).toBe('refused');
    app.kill('SIGINT');
    const { code } = await app.ended;
    expect(code).toBe(130);
    expect(performance.now() - began).toBeLessThan(atLoad(5_000));
  });

  it.each([
    ['an exception', `throw new TypeError('can' + 'ary\\n    at can' + 'ary')`],
    ['a rejection', `Promise.reject(new TypeError('can' + 'ary'))`],
  ])('the server exits with code 1 and a log line for an unhandled %s', async (_, fault) => {
    const dataDir = await temporaryDirectory();
    const app = await startProcess({ dataDir, before: `process.on('SIGUSR2', () => { ${fault} })` });
    app.kill('SIGUSR2');
    const { code, stdout, stderr } = await app.ended;
    expect(code).toBe(1);
    expect(stdout).toMatch(/"level":60.*"type":"TypeError"/);
    expect(stdout + stderr).not.toContain('canary');
  });
});
