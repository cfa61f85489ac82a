import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { readKubeconfig } from '../src/kubernetes/kubeconfig/kubeconfig.ts';
import { createAuthority } from './support/certificates.ts';

const policy = { allowHttp: false, allowInsecureTls: false, allowProxy: false, allowLoopback: true };
const base64 = (text: string) => Buffer.from(text).toString('base64');
const authority = base64(createAuthority().certificate);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kitestring-kubectl-'));
  // kubectl is not available everywhere; this stand-in responds like it, from two files.
  await writeFile(
    join(folder, 'kubectl'),
    `#!/bin/sh
case "$*" in
  *"config view"*"--context eks"*) cat "$0.view" ;;
  *"--context eks"*"get secret kitestring-reader"*) cat "$0.secret" ;;
  *) echo 'Error from server (NotFound): namespaces "kitestring" not found' >&2; exit 1 ;;
esac
`,
  );
  await chmod(join(folder, 'kubectl'), 0o755);
  const cluster = { server: 'https://eks.example:443', 'certificate-authority-data': authority };
  await writeFile(join(folder, 'kubectl.view'), JSON.stringify({ clusters: [{ name: 'arn', cluster }] }));
  await writeFile(join(folder, 'kubectl.secret'), JSON.stringify({ data: { token: base64('reader-token') } }));
});
afterAll(() => rm(folder, { recursive: true }));

async function run(...args: string[]) {
  const PATH = `${folder}${delimiter}${process.env.PATH}`;
  const child = spawn(process.execPath, ['src/cli/kitestring.ts', 'kubeconfig', ...args], { env: { PATH } });
  const out = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => {
    out.stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    out.stderr += chunk;
  });
  const [code] = await once(child, 'close');
  return { code, ...out };
}

it('the kubeconfig command prints a kubeconfig that needs no command, with the token of the reader', async () => {
  const { code, stdout } = await run('--context', 'eks');
  expect(code).toBe(0);
  const { contexts, current } = readKubeconfig(stdout, policy) as { contexts: { target: unknown }[]; current: string };
  expect(current).toBe('eks');
  expect(contexts).toMatchObject([{ target: { server: 'https://eks.example', token: 'reader-token' } }]);
});

it('the kubeconfig command says what to do if the reader is not applied or no context is named', async () => {
  expect(await run('--context', 'other')).toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringContaining('deploy/reader.yaml'),
  });
  expect(await run()).toMatchObject({ code: 2, stdout: '' });
});

it('deploy/reader.yaml defines the account that the command uses, without permission to read Secrets', async () => {
  const objects = parseAllDocuments(await readFile('deploy/reader.yaml', 'utf8')).map((document) => document.toJS());
  expect(objects.find(({ kind }) => kind === 'Secret').metadata).toMatchObject({
    name: 'kitestring-reader',
    namespace: 'kitestring',
  });
  const { rules } = objects.find(({ kind }) => kind === 'ClusterRole');
  const verbs = new Set(rules.flatMap((rule: { verbs: string[] }) => rule.verbs));
  const resources = rules.flatMap((rule: { resources?: string[] }) => rule.resources ?? []);
  expect([...verbs].sort()).toEqual(['get', 'list']);
  expect(resources).not.toContain('secrets');
  expect(resources).not.toContain('*');
});
