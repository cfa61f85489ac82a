import { createPrivateKey } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeKubeconfig } from '../src/kubernetes/kubeconfig/decode.ts';
import { describeCredential } from '../src/kubernetes/kubeconfig/describe.ts';
import { chooseContext, readKubeconfig } from '../src/kubernetes/kubeconfig/kubeconfig.ts';
import type { KubeconfigPolicy, Target } from '../src/kubernetes/kubeconfig/target.ts';
import { readYaml } from '../src/kubernetes/kubeconfig/yaml.ts';
import { createAuthority } from './support/certificates.ts';
import {
  base64,
  canary,
  certificates,
  fleetKubeconfig,
  kubeconfig,
  needingCommand,
  token,
  usable,
} from './support/kubeconfigs.ts';
import { atLoad } from './support/load.ts';
import { onTestFinished } from './support/running-test.ts';

const strict: KubeconfigPolicy = { allowHttp: false, allowInsecureTls: false, allowProxy: false, allowLoopback: false };
const lenient: KubeconfigPolicy = { allowHttp: true, allowInsecureTls: true, allowProxy: true, allowLoopback: true };
const { authority, client } = certificates;
const pem = (text: string) => text.trim();

// CPU time of this thread, so that other work of the machine does not count.
function millisecondsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}

function targetOf(text: string, policy = strict): Target {
  const chosen = chooseContext(readKubeconfig(text, policy));
  if (!('target' in chosen) || !chosen.target) throw new Error(`no target: ${chosen.problem}`);
  return chosen.target;
}

function problemOf(text: string, policy = strict): string {
  const { problem } = chooseContext(readKubeconfig(text, policy));
  if (problem === undefined) throw new Error('a target where a problem was expected');
  return problem;
}

function warningsOf(text: string, policy = strict): readonly string[] {
  const chosen = chooseContext(readKubeconfig(text, policy));
  return 'warnings' in chosen ? chosen.warnings : [];
}

describe('kubeconfigs of common distributions', () => {
  test.each(Object.entries(usable))('readKubeconfig reads a target from the kubeconfig of %s', (_, text) => {
    const reading = readKubeconfig(text, strict);
    const chosen = chooseContext(reading);
    expect(chosen.problem).toBeUndefined();
    expect(reading).toMatchObject({ current: expect.any(String), contexts: [chosen] });
  });

  test.each(Object.entries(needingCommand))('rejects the kubeconfig of %s and names an alternative', (_, text) => {
    const problem = problemOf(text);
    expect(problem).toContain('.user.exec');
    expect(problem).toContain('service account token');
    expect(problem).not.toContain(canary);
  });

  test('a target has the values of the kubeconfig', () => {
    expect(targetOf(usable.kind)).toEqual({
      server: 'https://10.89.0.4:6443',
      caData: authority.certificate,
      insecureSkipTlsVerify: false,
      clientCertificate: client,
    });
    expect(targetOf(usable.Rancher)).toEqual({
      server: 'https://rancher.example.org/k8s/clusters/c-m-8xk2v7qd',
      caData: authority.certificate,
      insecureSkipTlsVerify: false,
      token: `kubeconfig-u-mo773yttt4:${token}`,
    });
    expect(targetOf(usable.OpenShift)).toMatchObject({ namespace: 'my-project', token: `sha256~${canary}` });
    expect(targetOf(usable.AKS)).toMatchObject({ token, clientCertificate: client });
    expect(targetOf(usable.k3s).clientCertificate?.certificate).toBe(client.certificate + authority.certificate);
  });

  test('readKubeconfig accepts a byte order mark, CRLF, JSON, and JSON indented by tabs', () => {
    const target = targetOf(usable.AKS);
    const json = chooseContext(readKubeconfig(usable.AKS, strict));
    const object = JSON.parse('kubeconfig' in json ? json.kubeconfig : '');
    for (const text of [
      `\uFEFF${usable.AKS}`,
      usable.AKS.replaceAll('\n', '\r\n'),
      `---\n${usable.AKS}...\n`,
      JSON.stringify(object),
      JSON.stringify(object, null, 4),
      JSON.stringify(object, null, '\t'),
    ]) {
      expect(targetOf(text)).toEqual(target);
    }
  });

  test('a kubeconfig with a thousand contexts is read in under two seconds', { timeout: atLoad(20_000) }, () => {
    const text = fleetKubeconfig(1000);
    const before = process.threadCpuUsage();
    const reading = readKubeconfig(text, strict);
    expect(millisecondsSince(before)).toBeLessThan(atLoad(2000));
    expect(reading.contexts?.filter((context) => context.target)).toHaveLength(1000);
  });
});

describe('the context of a kubeconfig', () => {
  const two = {
    contexts: [
      { name: 'x', context: { cluster: 'c', user: 'u' } },
      { name: 'y', context: { cluster: 'c' } },
    ],
  };
  const choose = (root: object, name?: string) => chooseContext(readKubeconfig(kubeconfig({ root }), strict), name);

  test('chooseContext takes the named context, else the current one, else the only one', () => {
    expect(choose(two, 'y')).toMatchObject({ name: 'y', target: { server: 'https://10.0.0.1:6443' } });
    expect(choose(two)).toMatchObject({ name: 'x' });
    expect(choose({ 'current-context': null })).toMatchObject({ name: 'x' });
    expect(choose({ 'current-context': 'gone' })).toMatchObject({ name: 'x' });
  });

  test('the context must be named if there are several and none is current', () => {
    for (const current of [null, '', 'gone']) {
      const chosen = choose({ ...two, 'current-context': current });
      expect(chosen).toEqual({ problem: expect.stringContaining('"x", "y"') });
    }
    expect(choose(two, 'z')).toEqual({ problem: expect.stringContaining('"x", "y"') });
  });

  test('rejects a context with a cluster or user that does not exist', () => {
    expect(problemOf(kubeconfig({ context: { cluster: 'gone' } }))).toContain('contexts["x"].context.cluster');
    expect(problemOf(kubeconfig({ context: { cluster: '' } }))).toContain('contexts["x"].context.cluster');
    expect(problemOf(kubeconfig({ context: { user: 'gone' } }))).toContain('contexts["x"].context.user');
    expect(targetOf(kubeconfig({ context: { user: '' } }))).not.toHaveProperty('token');
  });

  test('errors in unused clusters and users do not affect a context', () => {
    const root = {
      clusters: [
        { name: 'c', cluster: { server: 'https://10.0.0.1' } },
        { name: 'd', cluster: { server: 'ftp://d', 'certificate-authority': '/etc/d', foo: 1 } },
      ],
      contexts: [
        { name: 'x', context: { cluster: 'c', user: 'u' } },
        { name: 'y', context: { cluster: 'd', user: 'v' } },
      ],
      users: [
        { name: 'u', user: { token } },
        { name: 'v', user: { exec: { command: 'aws' } } },
      ],
    };
    const reading = readKubeconfig(kubeconfig({ root }), strict);
    expect(reading.contexts).toMatchObject([{ target: { token } }, { problem: expect.any(String) }]);
    const kept = JSON.parse(reading.contexts?.[1]?.kubeconfig ?? '');
    expect(kept).toMatchObject({ clusters: [{ name: 'd' }], users: [{ name: 'v' }], 'current-context': 'y' });
    expect(reading.contexts?.[1]?.kubeconfig).not.toContain(token);
  });
});

describe('a field of a kubeconfig', () => {
  test('ignores fields that do not affect the connection', () => {
    const extensions = [{ name: 'e', extension: { deep: [{ down: '1' }] } }];
    const plain = targetOf(kubeconfig());
    expect(
      targetOf(
        kubeconfig({
          root: { preferences: { colors: true }, extensions, unheardOf: 1 },
          cluster: { extensions, 'disable-compression': true, 'proxy-url': '', 'certificate-authority': '' },
          context: { extensions, namespace: '' },
          user: { token, extensions, exec: null, username: '', 'as-groups': [] },
        }),
      ),
    ).toEqual(plain);
  });

  test.each([
    [{ user: { token, Exec: canary } }, 'users["u"].user.Exec is not known'],
    [{ user: { token, 'id-token-file': canary } }, 'users["u"].user.id-token-file is not known'],
    [{ user: { token, asUser: canary } }, 'users["u"].user.asUser is not known'],
    [{ user: { token, x: [{ command: canary }] } }, 'users["u"].user.x is not known'],
    [{ cluster: { tls: { 'ca-file': canary } } }, 'clusters["c"].cluster.tls is not known'],
    [{ root: { users: [{ name: 'u', user: {}, exec: canary }] } }, 'users["u"].exec is not known'],
  ])('rejects an unknown field that may name a command, a file or an identity by its path (%#)', (fields, problem) => {
    expect(problemOf(kubeconfig(fields))).toBe(problem);
  });

  test.each([
    [{ cluster: { LocationOfOrigin: canary } }, 'clusters["c"].cluster.LocationOfOrigin'],
    [{ context: { foo: canary } }, 'contexts["x"].context.foo'],
    [{ user: { token, foo: [{ bar: canary }] } }, 'users["u"].user.foo'],
    [{ user: { token, toString: canary } }, 'users["u"].user.toString'],
    [{ user: { token, 'a\u001b[31m"b': canary } }, 'users["u"].user."a\\u{1b}[31m\\u{22}b"'],
    [{ user: { token, ['x'.repeat(440)]: 1 } }, 'users["u"].user.(440 characters)'],
    [{ root: { users: [{ name: 'u', user: { token }, foo: canary }] } }, 'users["u"].foo'],
  ])('warns about another unknown field by its path, without quoting its value (%#)', (fields, path) => {
    expect(warningsOf(kubeconfig(fields))).toEqual([`${path} is not known and was ignored`]);
  });

  test.each(['as-user-extra', 'as-groups', 'as', 'client-certificate', 'tokenFile', 'foo'])(
    'a field that Go omits when it is empty is absent: %s',
    (key) => {
      for (const empty of [{}, [], '', null]) {
        expect(warningsOf(kubeconfig({ user: { token, [key]: empty } }))).toEqual([]);
        expect(targetOf(kubeconfig({ user: { token, [key]: empty } }))).toEqual(targetOf(kubeconfig()));
      }
    },
  );

  test('half of a certificate pair beside a token is ignored with a warning', () => {
    for (const key of ['client-certificate-data', 'client-key-data']) {
      const text = kubeconfig({ user: { token, [key]: base64(canary) } });
      expect(targetOf(text)).toEqual(targetOf(kubeconfig()));
      expect(warningsOf(text)).toEqual([expect.stringMatching(`^users\\["u"\\].user.${key} is set without client-`)]);
    }
  });

  test.each(['client-certificate', 'client-key', 'certificate-authority'])(
    'the file of %s is ignored with a warning if the kubeconfig contains its content',
    (key) => {
      const pair = { 'client-certificate-data': base64(client.certificate), 'client-key-data': base64(client.key) };
      const cluster = { 'certificate-authority-data': base64(authority.certificate) };
      const isOfUser = key.startsWith('client');
      const plain = kubeconfig({ cluster, user: pair });
      const text = kubeconfig({
        cluster: { ...cluster, ...(isOfUser ? {} : { [key]: canary }) },
        user: { ...pair, ...(isOfUser ? { [key]: canary } : {}) },
      });
      expect(targetOf(text)).toEqual(targetOf(plain));
      expect(warningsOf(text)).toEqual([expect.stringContaining(`.${key} was ignored, because ${key}-data is set`)]);
    },
  );

  test('basic authentication beside a token or a certificate is ignored with a warning', () => {
    const pair = { 'client-certificate-data': base64(client.certificate), 'client-key-data': base64(client.key) };
    for (const user of [{ token }, pair]) {
      const text = kubeconfig({ user: { ...user, username: 'admin', password: canary } });
      expect(targetOf(text)).toEqual(targetOf(kubeconfig({ user })));
      expect(warningsOf(text)).toEqual([
        expect.stringContaining('user.username was ignored'),
        expect.stringContaining('user.password was ignored'),
      ]);
    }
  });

  test.each([
    ...['true', 'True', 'TRUE', 'yes', 'on', 'y'].map((word) => [word, true] as const),
    ...['false', 'False', 'FALSE', 'no', 'No', 'off', 'n'].map((word) => [word, false] as const),
  ])('reads the boolean %s as kubectl does', (word, expected) => {
    const text = usable.kind.replace(/( +)server:/, `$1insecure-skip-tls-verify: ${word}\n$1server:`);
    const withoutCa = text.replace(/ +certificate-authority-data: .*\n/, '');
    expect(targetOf(withoutCa, lenient).insecureSkipTlsVerify).toBe(expected);
  });

  test.each([[`${token} `], [`\t ${token}`], [`${token}\n`], [` ${token} \r\n`]])(
    'removes blanks and one line break around a token, with a warning (%#)',
    (text) => {
      expect(targetOf(kubeconfig({ user: { token: text } })).token).toBe(token);
      expect(warningsOf(kubeconfig({ user: { token: text } }))).toEqual([expect.stringContaining('were removed')]);
    },
  );

  test('a namespace that is not a DNS label is ignored with a warning', () => {
    const text = kubeconfig({ context: { namespace: `../${canary}` } });
    expect(targetOf(text)).not.toHaveProperty('namespace');
    expect(warningsOf(text)).toEqual(['contexts["x"].context.namespace is not a valid namespace name and was ignored']);
  });

  const secret = { command: canary, args: [canary], password: canary };
  test.each([
    [{ user: { exec: secret } }, 'users["u"].user.exec'],
    [{ user: { exec: {} } }, 'users["u"].user.exec'],
    [{ user: { token, exec: secret } }, 'users["u"].user.exec'],
    [{ user: { 'auth-provider': { name: 'gcp', config: { 'cmd-path': canary } } } }, 'users["u"].user.auth-provider'],
    [{ user: { 'auth-provider': { config: { exec: canary, tokenFile: canary } } } }, 'users["u"].user.auth-provider'],
    [{ user: { username: canary } }, 'users["u"].user.username'],
    [{ user: { password: canary } }, 'users["u"].user.password'],
    [{ user: { token, as: canary } }, 'users["u"].user.as'],
    [{ user: { token, 'as-uid': canary } }, 'users["u"].user.as-uid'],
    [{ user: { token, 'as-groups': [canary] } }, 'users["u"].user.as-groups'],
    [{ user: { token, 'as-user-extra': { a: [canary] } } }, 'users["u"].user.as-user-extra'],
    [{ user: { token, impersonate: canary } }, 'users["u"].user.impersonate'],
    [{ user: { tokenFile: canary } }, 'users["u"].user.tokenFile'],
    [{ user: { 'token-file': canary } }, 'users["u"].user.token-file'],
    [{ user: { 'client-certificate': canary } }, 'users["u"].user.client-certificate'],
    [{ user: { 'client-key': canary } }, 'users["u"].user.client-key'],
    [{ cluster: { 'certificate-authority': canary } }, 'clusters["c"].cluster.certificate-authority'],
    [{ user: { token: { canary } } }, 'users["u"].user.token'],
    [{ user: { token: [canary] } }, 'users["u"].user.token'],
    [{ user: { token: `${canary}\n\n` } }, 'users["u"].user.token'],
    [{ user: { token: `\n${canary}` } }, 'users["u"].user.token'],
    [{ user: { token: ' \n' } }, 'users["u"].user.token'],
    [{ user: { token: `${canary} ${canary}` } }, 'users["u"].user.token'],
    [{ user: { token: `${canary}\r\nX-Remote-User: admin` } }, 'users["u"].user.token'],
    [{ user: { token: `${canary}\u0000` } }, 'users["u"].user.token'],
    [{ user: { token: `${canary}é` } }, 'users["u"].user.token'],
    [{ user: { 'client-key-data': canary } }, 'users["u"].user.client-key-data'],
    [{ user: { 'client-certificate-data': canary } }, 'users["u"].user.client-certificate-data'],
    [{ cluster: { 'certificate-authority-data': canary } }, 'clusters["c"].cluster.certificate-authority-data'],
    [{ cluster: { 'certificate-authority-data': base64(canary) } }, 'clusters["c"].cluster.certificate-authority-data'],
    [{ cluster: { server: `https://${canary}:${canary}@host` } }, 'clusters["c"].cluster.server'],
    [{ cluster: { server: `https://host/?${canary}` } }, 'clusters["c"].cluster.server'],
    [{ cluster: { server: canary } }, 'clusters["c"].cluster.server'],
    [{ cluster: { 'tls-server-name': `${canary}\n` } }, 'clusters["c"].cluster.tls-server-name'],
    [{ cluster: { 'insecure-skip-tls-verify': canary } }, 'clusters["c"].cluster.insecure-skip-tls-verify'],
  ])('rejects an unusable field by its path, without quoting its value (%#)', (fields, path) => {
    const problem = problemOf(kubeconfig(fields));
    expect(problem.startsWith(`${path} `)).toBe(true);
    expect(problem).not.toContain(canary);
  });

  test('the problem of a field that names a file or a command does not depend on whether it exists', () => {
    const directory = mkdtempSync(join(tmpdir(), 'kitestring-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const trace = join(directory, 'trace');
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: 'touch', args: [trace] };
    const provider = { name: 'gcp', config: { 'cmd-path': 'touch', 'cmd-args': trace } };
    for (const user of [{ exec }, { 'auth-provider': provider }, { token, exec, 'auth-provider': provider }]) {
      problemOf(kubeconfig({ user }), lenient);
    }
    expect(existsSync(trace)).toBe(false);
    for (const key of ['tokenFile', 'client-certificate', 'client-key']) {
      const problem = problemOf(kubeconfig({ user: { [key]: '/etc/hostname' } }));
      expect(problemOf(kubeconfig({ user: { [key]: trace } }))).toBe(problem);
    }
  });

  test.each(['DATA+OMITTED', 'REDACTED'])(
    'the problem of a value that kubectl replaced by %s names the command that prints it',
    (value) => {
      for (const fields of [
        { cluster: { 'certificate-authority-data': value } },
        { user: { token: value } },
        { user: { 'client-certificate-data': value, 'client-key-data': value } },
      ]) {
        expect(problemOf(kubeconfig(fields))).toContain('kubectl config view --raw --flatten');
      }
    },
  );

  test('digits, booleans and exponents are read as the text they were written as', () => {
    for (const value of ['12345', 'true', '1e5', '0x10', '007', '2026-11-25', '.inf']) {
      expect(targetOf(usable.OpenShift.replace(`sha256~${canary}`, value)).token).toBe(value);
    }
    expect(targetOf(kubeconfig({ user: { token: 'null' } })).token).toBe('null');
    expect(targetOf(usable.OpenShift.replace(`sha256~${canary}`, 'null'))).not.toHaveProperty('token');
    const nameless = usable.kind.replaceAll('kind-kind', '123');
    expect(chooseContext(readKubeconfig(nameless, strict), '123')).toMatchObject({ name: '123' });
  });
});

describe('a faulty item of a kubeconfig', () => {
  const good = { name: 'x', context: { cluster: 'c', user: 'u' } };
  const users = [{ name: 'u', user: { token } }];

  test.each([
    ['a context without a name', { contexts: [good, { context: {} }] }],
    ['a context that is null', { contexts: [null, good] }],
    ['a context that is text', { contexts: ['x', good] }],
    ['a context with a name of 300 characters', { contexts: [good, { ...good, name: 'x'.repeat(300) }] }],
    ['a context with a line break in its name', { contexts: [good, { ...good, name: 'x\ny' }] }],
  ])('%s is ignored with a warning', (_, root) => {
    const reading = readKubeconfig(kubeconfig({ root }), strict);
    expect(reading).toMatchObject({ contexts: [{ name: 'x', target: {} }] });
    expect(reading.problem === undefined && reading.warnings).toEqual([
      expect.stringMatching(/^contexts\[[01]\] has /),
    ]);
  });

  test.each([
    ['a user without a name', { users: [...users, { user: {} }] }],
    ['a user that is null', { users: [null, ...users] }],
    ['a user with a name of 300 characters', { users: [...users, { name: 'u'.repeat(300) }] }],
    ['another user named twice', { users: [...users, { name: 'v' }, { name: 'v' }] }],
    ['a cluster without a name', { clusters: [{ name: 'c', cluster: { server: 'https://host' } }, {}] }],
  ])('%s that no context uses is ignored', (_, root) => {
    expect(problemsOf({ contexts: [good], ...root })).toEqual([undefined]);
  });

  test.each([
    ['a user named twice', { users: [...users, ...users] }, 'users has two entries named "u"'],
    ['a cluster named twice', { clusters: [{ name: 'c' }, { name: 'c' }] }, 'clusters has two entries named "c"'],
    ['a context named twice', { contexts: [good, good] }, 'contexts has two entries named "x"'],
  ])('%s refuses only the contexts that use it, also when the stored kubeconfig is read again', (_, root, problem) => {
    const other = { name: 'y', context: { cluster: 'd' } };
    const clusters = [
      ...((root as { clusters?: object[] }).clusters ?? [{ name: 'c', cluster: { server: 'https://h' } }]),
    ];
    const text = kubeconfig({
      root: {
        users,
        ...root,
        contexts: [...((root as { contexts?: object[] }).contexts ?? [good]), other],
        clusters: [...clusters, { name: 'd', cluster: { server: 'https://host' } }],
      },
    });
    const { contexts = [] } = readKubeconfig(text, strict);
    expect(contexts.map(({ problem }) => problem)).toEqual([problem, undefined]);
    const again = chooseContext(readKubeconfig(contexts[0]?.kubeconfig ?? '', strict));
    expect(again.problem).toBe(problem);
  });

  test('a kubeconfig with only faulty contexts lists the faults', () => {
    const { problem } = readKubeconfig(kubeconfig({ root: { contexts: [{ name: '', context: {} }] } }), strict);
    expect(problem).toBe('the kubeconfig has no contexts; contexts[0] has no name and was ignored');
  });

  function problemsOf(root: object) {
    return readKubeconfig(kubeconfig({ root }), strict).contexts?.map(({ problem }) => problem);
  }

  test.each(['---\n', '---\n---\n', '...\n', '---\n# nothing\n'])('%j after the document is not a document', (end) => {
    expect(targetOf(`${usable.kind}${end}`)).toEqual(targetOf(usable.kind));
    expect(targetOf(`---\n---\n${usable.kind}`)).toEqual(targetOf(usable.kind));
  });
});

describe('the server of a kubeconfig', () => {
  const server = (url: string, policy = strict) => targetOf(kubeconfig({ cluster: { server: url } }), policy).server;
  const problem = (url: string, policy = strict) => problemOf(kubeconfig({ cluster: { server: url } }), policy);

  test.each([
    ['https://host', 'https://host'],
    ['HTTPS://Host:443/', 'https://host'],
    ['https://[fd12::1]:6443', 'https://[fd12::1]:6443'],
    ['https://host/k8s/clusters/c-m-1/', 'https://host/k8s/clusters/c-m-1'],
    ['https://host/v1/projects/1/memberships/a..b', 'https://host/v1/projects/1/memberships/a..b'],
  ])('reads the server %s as %s', (url, expected) => {
    expect(server(url)).toBe(expected);
  });

  test.each([
    'host:6443',
    'ftp://host',
    'file:///etc/passwd',
    'unix:///run/docker.sock',
    'https:host',
    'https:/host',
    'https:\\\\host',
    'https://',
    'https://user@host',
    'https://user:pass@host',
    'https://@host',
    'https://host/@x@y',
    'https://host\n',
    'https://host\r\nHost: other',
    'https://ho\tst',
    'https://host /',
    'https://host/\u0000',
    'https://host?a=b',
    'https://host/?',
    'https://host#a',
    'https://host/..',
    'https://host/../x',
    'https://host/a/./b',
    'https://host/%2e%2e/x',
    'https://host/a%2Fb',
    'https://host//x',
    'https://host/x//',
    'https://host\\x',
    'https://host/x\\..\\y',
    'https://host:99999',
    'https://ho%73t',
    'https://hôst',
    `https://${'h'.repeat(3000)}`,
  ])('rejects the server %j', (url) => {
    expect(problem(url, lenient)).toContain('clusters["c"].cluster.server');
  });

  test('http, loopback, unverified TLS and proxies need permission of the operator', () => {
    expect(problem('http://10.0.0.1')).toContain('https');
    expect(server('http://10.0.0.1', { ...strict, allowHttp: true })).toBe('http://10.0.0.1');
    expect(problem('https://127.0.0.1:6443')).toContain('ALLOW_LOOPBACK_TARGETS=true');
    expect(problem('https://localhost:6443')).toContain('ALLOW_LOOPBACK_TARGETS=true');
    expect(server('https://127.0.0.1:6443', { ...strict, allowLoopback: true })).toBe('https://127.0.0.1:6443');

    const insecure = kubeconfig({ cluster: { 'insecure-skip-tls-verify': true } });
    expect(problemOf(insecure)).toContain('insecure-skip-tls-verify');
    expect(targetOf(insecure, { ...strict, allowInsecureTls: true })).toMatchObject({ insecureSkipTlsVerify: true });
    expect(targetOf(kubeconfig({ cluster: { 'insecure-skip-tls-verify': false } }))).toEqual(targetOf(kubeconfig()));

    const proxied = kubeconfig({ cluster: { 'proxy-url': 'http://proxy:3128/' } });
    expect(problemOf(proxied)).toContain('proxy-url');
    expect(targetOf(proxied, { ...strict, allowProxy: true })).toMatchObject({ proxyURL: 'http://proxy:3128' });
  });

  test.each(['169.254.169.254', '2852039166', '[::ffff:169.254.169.254]', '[fd00:ec2::254]', '0.0.0.0', '224.0.0.1'])(
    'a server or proxy at %s is never allowed',
    (host) => {
      expect(problem(`https://${host}/`, lenient)).toContain('never dialled');
      const cluster = { 'proxy-url': `http://${host}:3128` };
      expect(problemOf(kubeconfig({ cluster }), lenient)).toContain('never dialled');
    },
  );

  test.each(['socks5://proxy', 'http://user:pass@proxy', 'http://proxy/path', 'http://proxy?x', 'proxy:3128'])(
    'rejects a server behind the proxy %s',
    (proxy) => {
      expect(problemOf(kubeconfig({ cluster: { 'proxy-url': proxy } }), lenient)).toContain('proxy-url');
    },
  );

  test('the server of an unusable context is reported, unless it contains a credential', () => {
    const apiServer = (cluster: object) => {
      const reading = readKubeconfig(kubeconfig({ cluster, user: { exec: {} } }), strict);
      return reading.contexts?.[0]?.apiServer;
    };
    expect(apiServer({})).toBe('https://10.0.0.1:6443');
    expect(apiServer({ server: 'http://169.254.169.254/' })).toBe('http://169.254.169.254');
    expect(apiServer({ server: `https://u:${canary}@host` })).toBeUndefined();
    expect(apiServer({ server: `https://u:1/${canary}@host` })).toBeUndefined();
    expect(apiServer({ server: `https://host/?token=${canary}` })).toBeUndefined();
    expect(apiServer({ server: '' })).toBeUndefined();
  });
});

describe('a certificate in a kubeconfig', () => {
  const other = createAuthority().issue({ commonName: 'other', client: true });
  const user = (certificate: string, key: string) =>
    kubeconfig({ user: { 'client-certificate-data': base64(certificate), 'client-key-data': base64(key) } });
  const cluster = (pems: string) => kubeconfig({ cluster: { 'certificate-authority-data': base64(pems) } });

  test('a CA may be a bundle with comments, which are removed', () => {
    const bundle = `# one\n${authority.certificate}\r\n# two\n${createAuthority().certificate}`;
    const { caData = '' } = targetOf(cluster(bundle));
    expect(caData).not.toContain('#');
    expect(caData.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(targetOf(cluster(caData)).caData).toBe(caData);
  });

  test('rejects a CA bundle that contains a broken certificate', () => {
    const broken = authority.certificate.replace(/\n.{20}/, '\nAAAAAAAAAAAAAAAAAAAA');
    expect(problemOf(cluster(broken))).toContain('certificate-authority-data contains no certificate that can be read');
    expect(problemOf(cluster(client.key))).toContain('certificate-authority-data is base64, but contains no PEM');
    const data = { 'certificate-authority-data': authority.certificate };
    expect(problemOf(kubeconfig({ cluster: data }))).toContain('is not base64: it is PEM text');
    const bundle = cluster(authority.certificate + broken + authority.certificate);
    expect(targetOf(bundle).caData?.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(warningsOf(bundle)).toEqual([expect.stringContaining('cannot be read, which were ignored: number 2')]);
  });

  test('an RSA key below 2,048 bits is refused in a client certificate, and ignored in a CA bundle', () => {
    const weak = createAuthority('weak', { keyType: 'RSA-1024' });
    const strong = createAuthority().issue({ commonName: 'weak', client: true, keyType: 'RSA-1024' });
    expect(problemOf(user(strong.certificate, strong.key))).toContain('cannot be used for TLS: its key is too small');
    expect(problemOf(cluster(weak.certificate))).toContain('has only RSA keys below 2048 bits');
    const bundle = cluster(weak.certificate + authority.certificate);
    expect(targetOf(bundle).caData?.trim()).toBe(authority.certificate.trim());
    expect(warningsOf(bundle)).toEqual([expect.stringContaining('RSA keys below 2048 bits')]);
  });

  test.each([
    ['pkcs1', 'RSA-2048'],
    ['sec1', 'P-256'],
    ['pkcs8', 'Ed25519'],
  ] as const)('reads a private key in %s of %s under a wrong label', (type, keyType) => {
    const issued = createAuthority().issue({ commonName: type, client: true, keyType });
    const der = createPrivateKey(issued.key).export({ format: 'der', type: type as 'pkcs8' });
    for (const label of ['PRIVATE KEY', 'ED25519 PRIVATE KEY', 'ANY PRIVATE KEY']) {
      const key = `-----BEGIN ${label}-----\n${der.toString('base64')}\n-----END ${label}-----\n`;
      const { clientCertificate } = targetOf(user(issued.certificate, key));
      expect(createPrivateKey(clientCertificate?.key ?? '').equals(createPrivateKey(issued.key))).toBe(true);
    }
  });

  test('rejects a CA together with insecure-skip-tls-verify', () => {
    const both = {
      'certificate-authority-data': base64(authority.certificate),
      'insecure-skip-tls-verify': true,
    };
    expect(problemOf(kubeconfig({ cluster: both }), lenient)).toContain('insecure-skip-tls-verify');
  });

  test('a client certificate needs its own key', () => {
    expect(targetOf(user(client.certificate, client.key)).clientCertificate).toEqual(client);
    expect(problemOf(user(client.certificate, other.key))).toContain('client-key-data does not belong');
    expect(problemOf(user(client.certificate, client.certificate))).toContain('client-key-data');
    expect(problemOf(user(client.certificate, client.key.replace(/\n.{8}/, '\n00000000')))).toContain(
      'client-key-data',
    );
    const cipher = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: canary } as const;
    const encrypted = createPrivateKey(client.key).export(cipher).toString();
    expect(problemOf(user(client.certificate, encrypted))).toContain('passphrase');
  });

  test('a client key may follow the parameters that openssl writes before it', () => {
    const parameters = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n';
    const { clientCertificate } = targetOf(user(client.certificate, parameters + client.key));
    expect(pem(clientCertificate?.key ?? '')).toBe(pem(client.key));
  });
});

describe('describeCredential', () => {
  const jwt = (payload: string) => `e30.${Buffer.from(payload).toString('base64url')}.c2ln`;
  const describeUser = (user: object) => describeCredential(targetOf(kubeconfig({ user })));
  const certificate = (notAfter: Date) => {
    const issued = authority.issue({ commonName: 'me', client: true, notAfter });
    return { 'client-certificate-data': base64(issued.certificate), 'client-key-data': base64(issued.key) };
  };

  test('describeCredential returns the kind of the credential', () => {
    const end = new Date('2040-01-01T00:00:00Z');
    expect(describeUser({})).toEqual({ kind: 'NONE' });
    expect(describeUser({ token: 'opaque' })).toEqual({ kind: 'TOKEN' });
    expect(describeUser(certificate(end))).toEqual({ kind: 'CLIENT_CERTIFICATE', expiresAt: end });
    expect(describeUser({ token: 'a', ...certificate(end) })).toEqual({
      kind: 'TOKEN_AND_CERTIFICATE',
      expiresAt: end,
    });
  });

  test('a credential expires with the part that expires first', () => {
    const exp = (date: string) => jwt(JSON.stringify({ exp: Date.parse(date) / 1000 }));
    const user = { token: exp('2030-01-01T00:00:00Z'), ...certificate(new Date('2031-01-01T00:00:00Z')) };
    expect(describeUser({ token: user.token }).expiresAt).toEqual(new Date('2030-01-01T00:00:00Z'));
    expect(describeUser(user).expiresAt).toEqual(new Date('2030-01-01T00:00:00Z'));
    const later = { ...user, token: exp('2032-01-01T00:00:00Z') };
    expect(describeUser(later).expiresAt).toEqual(new Date('2031-01-01T00:00:00Z'));
    const past = new Date('2020-01-01T00:00:00Z');
    expect(describeUser(certificate(past)).expiresAt).toEqual(past);
  });

  test.each(['null', '[]', '{}', '{"exp":"x"}', '{"exp":1e300}', 'no JSON', ''])(
    'a token with the payload %j has no expiry',
    (payload) => {
      expect(describeUser({ token: jwt(payload) })).toEqual({ kind: 'TOKEN' });
    },
  );
});

describe('a malformed or malicious kubeconfig', () => {
  const big = 4 * 1024 * 1024;
  const bomb = `a: &a [${'x,'.repeat(9)}]\n${'bcdefghi'
    .split('')
    .map((name, index) => `${name}: &${name} [${`*${'abcdefghi'[index]},`.repeat(9)}]`)
    .join('\n')}`;

  test.each([
    ['an alias bomb', bomb],
    ['a scalar of 4 MiB', `token: ${'x'.repeat(big)}`],
    ['a scalar of nearly 4 MiB', `token: "${'x'.repeat(big - 100)}"`],
    ['two documents', `${usable.kind}---\n${usable.kind}`],
    ['a document after an end', `${usable.kind}...\n${usable.kind}`],
    ['a million documents', '---\n'.repeat(1_000_000)],
    ['__proto__ as a key', usable.kind.replace('preferences', '__proto__')],
    ['__proto__ as a key in JSON', usable.kind.replace('preferences', '"__proto__"')],
    ['a key twice', usable.kind.replace('    server:', '    server: https://other\n    server:')],
    ['a key twice in JSON', kubeconfig().replace('{"server"', '{"server":"https://other","server"')],
    ['a merge', usable.kind.replace('    server:', '    <<: {a: b}\n    server:')],
    ['an anchor', usable.kind.replace('preferences: {}', 'preferences: &a {}')],
    ['a tag', usable.kind.replace('preferences: {}', 'preferences: !!map {}')],
    ['a tag of JavaScript', usable.kind.replace('preferences: {}', 'preferences: !!js/function "f"')],
    ['a binary tag', usable.kind.replace('preferences: {}', 'preferences: !!binary aGk=')],
    ['a directive', `%YAML 1.1\n---\n${usable.kind}`],
    ['a null document', 'null'],
    ['nothing', ''],
    ['a comment', '# nothing'],
    ['an empty document', '---\n...\n'],
    ['a list', '[]'],
    ['a scalar', 'kubeconfig'],
    ['a key that is a list', '[a]: b'],
    ['an empty key', ': b'],
    ['NUL', `${usable.kind}\0`],
    ['no contexts', kubeconfig({ root: { contexts: [] } })],
    ['contexts that are no list', kubeconfig({ root: { contexts: {} } })],
    ['a context without a name', kubeconfig({ root: { contexts: [{ context: {} }] } })],
    ['a context that is null', kubeconfig({ root: { contexts: [null] } })],
    ['a name with a line break', kubeconfig({ root: { contexts: [{ name: 'x\n' }] } })],
    ['a name of 300 characters', kubeconfig({ root: { contexts: [{ name: 'x'.repeat(300) }] } })],
    ['another kind', kubeconfig({ root: { kind: 'Deployment' } })],
    ['another version', kubeconfig({ root: { apiVersion: 'v2' } })],
    ['100,000 open brackets', '['.repeat(100_000)],
    ['100,000 open braces', '{'.repeat(100_000)],
    ['open braces with keys', '{"a":'.repeat(50_000)],
    ['nested colons', `{${'"":'.repeat(10_000)}}`],
    ['nested dashes', '- '.repeat(20_000)],
    ['nested questions', '? '.repeat(20_000)],
    ['4 MiB of line breaks', '\n'.repeat(big)],
    ['4 MiB of line breaks and returns', '\r\n'.repeat(big / 2)],
    ['4 MiB of colons', ': '.repeat(big / 2)],
    ['4 MiB of dashes', '- '.repeat(big / 2)],
    ['4 MiB of commas', `[${','.repeat(big - 1)}`],
    ['4 MiB of empty texts', `["",${'"",'.repeat(1_300_000)}]`],
    ['4 MiB of empty lists', '[]'.repeat(big / 2)],
    ['250,000 keys', Array.from({ length: 250_000 }, (_, n) => `k${n}: v\n`).join('')],
    [
      '60,000 contexts',
      `contexts:\n${Array.from({ length: 60_000 }, (_, n) => `- name: c${n}\n  context: {cluster: a, user: b}\n`).join('')}`,
    ],
    [
      '30,000 contexts',
      `contexts:\n${Array.from({ length: 30_000 }, (_, n) => `- name: c${n}\n  context:\n    cluster: a\n    user: b\n`).join('')}`,
    ],
    ['60 levels', `a: ${'['.repeat(60)}${']'.repeat(60)}`],
  ])('rejects a kubeconfig with %s in under 100 ms', (_, text) => {
    const times = [1, 2, 3].map(() => {
      const before = process.threadCpuUsage();
      const { problem } = readKubeconfig(text, strict);
      expect(problem).toEqual(expect.any(String));
      expect(problem?.length).toBeLessThan(400);
      return millisecondsSince(before);
    });
    expect(Math.min(...times)).toBeLessThan(100);
  });

  test('rejects a kubeconfig with more than 5,000 contexts', () => {
    const contexts = Array.from({ length: 5001 }, (_, n) => ({ name: `${n}` }));
    expect(readKubeconfig(kubeconfig({ root: { contexts } }), strict).problem).toContain('5,000');
  });

  test('rejects a kubeconfig with contexts that share too much data', () => {
    const contexts = Array.from({ length: 200 }, (_, n) => ({ name: `${n}`, context: { cluster: 'c', user: 'u' } }));
    const users = [{ name: 'u', user: { token: 'x'.repeat(1_000_000) } }];
    expect(readKubeconfig(kubeconfig({ root: { contexts, users } }), strict).problem).toContain('share too much');
  });

  test.each([
    'x',
    'x\n',
    'x: y\n',
    '{}',
    '"',
    '[,',
    ',',
    '}',
    '""\n',
    '\n',
    '#\n',
    ': ',
    '- |\n',
    "'",
    '&a ',
    '"":',
    '? a\n',
    '\t\n',
  ])('reads 4 MiB of %j in under 2.5 s', { timeout: atLoad(20_000) }, (part) => {
    const before = process.threadCpuUsage();
    readKubeconfig(part.repeat(Math.floor((big - 1) / part.length)), strict);
    expect(millisecondsSince(before)).toBeLessThan(atLoad(2500));
  });

  test('a YAML error has line and column, and does not quote the text', () => {
    const text = usable.AKS.replace('    token: ', '    token: "');
    expect(problemOf(text)).toMatch(/line \d+, column \d+/);
    expect(problemOf(text)).not.toContain(canary);
    const unclosed = usable.AKS.replace('    token: ', '   token ');
    expect(problemOf(unclosed)).toMatch(/line \d+, column \d+/);
    expect(problemOf(unclosed)).not.toContain(canary);
  });

  test('readKubeconfig never throws, for any text', () => {
    const fragments = fc.constantFrom(
      ...'{}[]:,-?&*!|>\'"%@`#\n\t ~<',
      'a',
      ': ',
      '- ',
      '\r\n',
      'contexts:',
      '---\n',
      '\uFEFF',
    );
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.json(),
      fc.array(fragments).map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(text, (anything) => {
        const reading = readKubeconfig(anything, strict);
        expect(reading.problem === undefined).toBe(reading.contexts !== undefined);
      }),
      { numRuns: 500 },
    );
  });

  test('a damaged kubeconfig gives targets or problems, and no problem contains a secret', () => {
    const accident = fc.record({
      text: fc.constantFrom(...Object.values(usable), ...Object.values(needingCommand)),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      cut: fc.nat(6),
      insert: fc.oneof(
        fc.constantFrom(
          '',
          '\n',
          ' ',
          ':',
          '"',
          "'",
          '- ',
          '  ',
          '\t',
          '&',
          '*',
          '!',
          '|',
          '#',
          '{',
          '[',
          '\0',
          '\r',
          '%',
        ),
        fc.string({ maxLength: 4 }),
      ),
    });
    fc.assert(
      fc.property(accident, ({ text, at, cut, insert }) => {
        const place = Math.floor(at * text.length);
        const reading = readKubeconfig(text.slice(0, place) + insert + text.slice(place + cut), strict);
        for (const { problem, target } of reading.contexts ?? [reading as { problem: string; target?: never }]) {
          expect(problem === undefined).toBe(target !== undefined);
          expect(problem ?? '').not.toContain(canary);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('JSON in readYaml', () => {
  const reading = (text: string): unknown => {
    try {
      return readYaml(text);
    } catch (error) {
      return String(error).replace(/ \(line .*\)$/, '');
    }
  };

  test('readYaml reads JSON on one line the same as indented JSON', () => {
    const key = fc.oneof(
      fc.constantFrom('', '<<', '__proto__', '1', 'name'),
      fc.string({ unit: 'binary', maxLength: 4 }),
    );
    const words = fc.constantFrom(
      '',
      'null',
      '~',
      'true',
      '012',
      '1e3',
      '*a',
      '&a',
      '!t',
      '# no comment',
      '\u2028',
      '"',
    );
    const scalar = fc.oneof(
      words,
      fc.string({ unit: 'binary', maxLength: 8 }),
      fc.integer(),
      fc.double(),
      fc.boolean(),
    );
    const { json } = fc.letrec((tie) => ({
      json: fc.oneof({ maxDepth: 4 }, scalar, fc.constant(null), tie('list'), tie('object')),
      list: fc.array(tie('json'), { maxLength: 3 }),
      object: fc.dictionary(key, tie('json'), { maxKeys: 3 }),
    }));
    fc.assert(
      fc.property(json, (value) => {
        const object = { value };
        expect(reading(JSON.stringify(object))).toEqual(reading(JSON.stringify(object, null, 1)));
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    [
      'a number is kept as it is written',
      '{"token":1.0,"other":1e3,"third":0.10}',
      { token: '1.0', other: '1e3', third: '0.10' },
    ],
    ['a number of many digits too', '{"token":12345678901234567890}', { token: '12345678901234567890' }],
    ['a key that stands twice is refused', '{"server":"a","server":"b"}', expect.stringContaining('occurs twice')],
    [
      'a deeply nested value is refused',
      `{"a":${'['.repeat(60)}${']'.repeat(60)}}`,
      expect.stringContaining('nested too deeply'),
    ],
    [
      'a value of more than a megabyte is refused',
      `{"a":"${'x'.repeat(1024 * 1024 + 1)}"}`,
      expect.stringContaining('larger than 1 MiB'),
    ],
  ])('readYaml reads JSON: %s', (_, text, expected) => {
    expect(reading(text)).toEqual(expected);
  });
});

describe('the stored kubeconfig of a context', () => {
  const text = fc.option(fc.string({ unit: 'binary', maxLength: 12 }), { nil: undefined });
  const anyField = fc.oneof(text, fc.jsonValue({ maxDepth: 3 }));
  const record = (known: Record<string, unknown[]>) =>
    fc.record(
      Object.fromEntries(
        Object.entries(known).map(([key, values]) => [
          key,
          fc.oneof({ weight: 40, arbitrary: fc.constantFrom(...values) }, { weight: 1, arbitrary: anyField }),
        ]),
      ),
    );
  const both = {
    'client-certificate-data': base64(client.certificate),
    'client-key-data': base64(client.key),
  };
  const fields = fc.record({
    cluster: record({
      server: ['https://10.0.0.1:6443', 'https://host/k8s/clusters/c-1/', 'HTTPS://[FD12::1]:443', 'http://host'],
      'certificate-authority-data': [undefined, base64(authority.certificate), base64(`x\n${authority.certificate}`)],
      'tls-server-name': [undefined, 'host', ''],
      'insecure-skip-tls-verify': [undefined, true, false, 'true'],
      'proxy-url': [undefined, 'http://proxy:3128'],
      'disable-compression': [undefined, true],
      extensions: [undefined, [{ name: 'e' }]],
    }),
    user: fc.oneof(
      record({ token: [undefined, token, 'true', '123', 'null', '~'], extensions: [undefined, []] }),
      record({
        token: [undefined, token],
        'client-certificate-data': [both['client-certificate-data']],
        'client-key-data': [both['client-key-data']],
      }),
      record({ exec: [{ command: 'aws', args: ['1', 2, true, null] }], token: [undefined, token] }),
    ),
    context: record({
      namespace: [undefined, 'default', 'Bad', ''],
      user: ['u', '', 'gone'],
      extensions: [undefined, {}],
    }),
  });

  test('the stored kubeconfig has the same target or problem, and is stable when read again', () => {
    let targets = 0;
    fc.assert(
      fc.property(fields, fc.constantFrom(strict, lenient), (some, policy) => {
        const reading = readKubeconfig(kubeconfig(some), policy);
        for (const context of reading.contexts ?? []) {
          const again = readKubeconfig(context.kubeconfig, policy);
          // The stored kubeconfig of a usable context no longer contains the ignored fields.
          const warnings = context.target ? [] : context.warnings;
          expect(again).toEqual({ contexts: [{ ...context, warnings }], current: context.name, warnings: [] });
          if (context.target) targets += 1;
        }
      }),
      { numRuns: 1000 },
    );
    expect(targets).toBeGreaterThan(100);
  });

  test.each(Object.entries({ ...usable, ...needingCommand }))(
    'the stored kubeconfig of %s is stable when read again',
    (_, original) => {
      const chosen = chooseContext(readKubeconfig(original, strict));
      if (!('kubeconfig' in chosen)) throw new Error(chosen.problem);
      expect(chooseContext(readKubeconfig(chosen.kubeconfig, strict))).toEqual(chosen);
    },
  );
});

describe('the encoding of a kubeconfig file', () => {
  const text = usable.kind.replace('preferences', 'ünïcode');
  const utf16 = Buffer.from(`\uFEFF${text}`, 'utf16le');

  test.each([
    ['UTF-8', Buffer.from(text)],
    ['UTF-8 with a byte order mark', Buffer.from(`\uFEFF${text}`)],
    ['UTF-16 in little endian', utf16],
    ['UTF-16 in big endian', Buffer.from(utf16).swap16()],
  ])('decodes %s', (_, bytes) => {
    expect(decodeKubeconfig(bytes)).toBe(text);
  });

  test.each([
    ['Latin-1', Buffer.from(text, 'latin1'), 'not valid UTF-8: save it as UTF-8'],
    ['cut UTF-16', utf16.subarray(0, 101), 'not valid UTF-16LE: save it as UTF-8'],
  ])('rejects %s', (_, bytes, problem) => {
    expect(() => decodeKubeconfig(bytes)).toThrow(problem);
  });

  test('a byte order mark at the beginning of a text is ignored', () => {
    expect(targetOf(`\uFEFF${usable.kind}`)).toEqual(targetOf(usable.kind));
  });
});
