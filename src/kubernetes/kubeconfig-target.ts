import { judgeHost } from './address.ts';
import type { KubeconfigPolicy, Target } from './kubeconfig.ts';
import { type Data, isMapping, type Mapping, quote, UnusableKubeconfig } from './kubeconfig-yaml.ts';
import { readCertificates, readPrivateKey } from './pem.ts';

/** The three mappings a context stands for, each with the path by which a sentence names it. */
export interface Parts {
  context: Part;
  cluster: Part;
  user: Part | undefined;
}

/** A mapping of a kubeconfig and its path in it. */
export interface Part {
  path: string;
  fields: Mapping;
}

/** Remembers what certificates and keys were read: thousands of contexts may share one authority. */
export interface TargetCache {
  authorities: Map<string, string>;
  keyPairs: Map<string, { certificate: string; key: string }>;
}

const flatten = 'make a kubeconfig that holds it with `kubectl config view --raw --flatten`';
const instead =
  'use a service account token instead (deploy/reader.yaml makes one that may read); ' +
  '`npm run kitestring -- kubeconfig --context NAME` makes a self-contained kubeconfig';
const file = (field: string) => `names a file, and no file is ever read: use ${field}, or ${flatten}`;
const tokenFile = 'names a file, and no file is ever read: put the token itself into token';
const impersonation = `would act as somebody else, which is not supported: ${instead}`;
const basic = `belongs to basic authentication, which Kubernetes no longer has: ${instead}`;

const refusedOfCluster: Record<string, string> = {
  'certificate-authority': file('certificate-authority-data'),
};
const refusedOfUser: Record<string, string> = {
  exec: `is a command, and no command is ever run: ${instead}`,
  'auth-provider': `is a plugin, and no plugin is ever run: ${instead}`,
  username: basic,
  password: basic,
  tokenFile,
  'token-file': tokenFile,
  'client-certificate': file('client-certificate-data'),
  'client-key': file('client-key-data'),
  as: impersonation,
  'as-uid': impersonation,
  'as-groups': impersonation,
  'as-user-extra': impersonation,
  impersonate: impersonation,
  'impersonate-groups': impersonation,
  'impersonate-user-extra': impersonation,
};
const knownOfContext = ['cluster', 'user', 'namespace', 'extensions'];
const knownOfCluster = [
  'server',
  'certificate-authority-data',
  'tls-server-name',
  'insecure-skip-tls-verify',
  'proxy-url',
  'disable-compression',
  'extensions',
];
const knownOfUser = ['token', 'client-certificate-data', 'client-key-data', 'extensions'];

/** Builds the target of a context; throws UnusableKubeconfig with the first thing that stands against it. */
export function readTarget({ context, cluster, user }: Parts, policy: KubeconfigPolicy, cache: TargetCache): Target {
  allowOnly(context, knownOfContext);
  allowOnly(cluster, knownOfCluster, refusedOfCluster);
  const server = readServer(cluster, policy);
  const caData = readAuthority(cluster, cache);
  const tlsServerName = readTlsServerName(cluster);
  const insecureSkipTlsVerify = readInsecure(cluster, caData !== undefined, policy);
  const proxyURL = readProxy(cluster, policy);
  const namespace = readNamespace(context);
  if (user) allowOnly(user, knownOfUser, refusedOfUser);
  const token = user && readToken(user);
  const clientCertificate = user && readClientCertificate(user, cache);
  return {
    server,
    ...(caData !== undefined && { caData }),
    ...(tlsServerName !== undefined && { tlsServerName }),
    insecureSkipTlsVerify,
    ...(namespace !== undefined && { namespace }),
    ...(proxyURL !== undefined && { proxyURL }),
    ...(token !== undefined && { token }),
    ...(clientCertificate && { clientCertificate }),
  };
}

/** The URL of a cluster's API server when it is one that may be shown, whether or not it may be dialled. */
export function showServer(cluster: Data | undefined): string | undefined {
  try {
    return isMapping(cluster) ? readURL({ path: 'cluster', fields: cluster }, 'server') : undefined;
  } catch (error) {
    if (error instanceof UnusableKubeconfig) return undefined;
    throw error;
  }
}

/** The text under a key; an empty one counts as absent, and the words that kubectl puts in place of a secret are refused. */
export function textOf({ path, fields }: Part, key: string): string | undefined {
  const value = fields[key];
  if (isAbsent(value)) return undefined;
  if (typeof value !== 'string') throw new UnusableKubeconfig(`${path}.${key} is not text`);
  if (value === 'DATA+OMITTED' || value === 'REDACTED') {
    throw new UnusableKubeconfig(`${path}.${key} was left out when this kubeconfig was printed: ${flatten}`);
  }
  return value;
}

function isAbsent(value: Data | undefined): boolean {
  return value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0);
}

/** Throws UnusableKubeconfig for the first key that is not known and has a value, with the words for it when there are some. */
export function allowOnly({ path, fields }: Part, known: string[], refused: Record<string, string> = {}): void {
  for (const [key, value] of Object.entries(fields)) {
    if (known.includes(key) || isAbsent(value)) continue;
    const reason = Object.hasOwn(refused, key) ? refused[key] : undefined;
    if (reason) throw new UnusableKubeconfig(`${path}.${key} ${reason}`);
    throw new UnusableKubeconfig(`${path}.${/^[\w-]{1,40}$/.test(key) ? key : quote(key, 40)} is not known`);
  }
}

// Checked as written, since URL quietly takes out `..`, line breaks and backslashes.
const plainURL = /^https?:\/\/[^/?#@%\\]+(?:\/(?!\.{1,2}(?:\/|$))[\w.~!$&'()*+,;=:-]+)*\/?$/i;

function readURL(part: Part, key: string): string | undefined {
  const raw = textOf(part, key);
  if (raw === undefined) return undefined;
  const path = `${part.path}.${key}`;
  if (raw.length > 2048) throw new UnusableKubeconfig(`${path} is longer than 2,048 characters`);
  if (!/^[\x21-\x7e]*$/.test(raw))
    throw new UnusableKubeconfig(`${path} has a space, a line break or another character that no URL has`);
  if (!/^https?:\/\//i.test(raw)) throw new UnusableKubeconfig(`${path} is not a URL that begins with https://`);
  if (/^[^:]+:\/\/[^/?#\\]*@/.test(raw)) throw new UnusableKubeconfig(`${path} has user info in it: ${instead}`);
  if (!plainURL.test(raw) || !URL.canParse(raw)) {
    throw new UnusableKubeconfig(
      `${path} is not a plain URL: a scheme, a host, a port and a path without .., //, %, \\, ? or #`,
    );
  }
  return new URL(raw).href.replace(/\/$/, '');
}

function readServer(cluster: Part, policy: KubeconfigPolicy): string {
  const path = `${cluster.path}.server`;
  const server = readURL(cluster, 'server');
  if (server === undefined) throw new UnusableKubeconfig(`${path} is missing`);
  const { protocol, hostname } = new URL(server);
  if (protocol === 'http:' && !policy.allowHttp) {
    throw new UnusableKubeconfig(`${path} is not https, which is allowed only with ALLOW_HTTP_TARGETS=true`);
  }
  const reason = judgeHost(hostname, policy);
  if (reason) throw new UnusableKubeconfig(`${path}: ${reason}`);
  return server;
}

function readProxy(cluster: Part, policy: KubeconfigPolicy): string | undefined {
  const path = `${cluster.path}.proxy-url`;
  const proxy = readURL(cluster, 'proxy-url');
  if (proxy === undefined) return undefined;
  if (!policy.allowProxy)
    throw new UnusableKubeconfig(`${path} names a proxy, which is allowed only with ALLOW_TARGET_PROXY=true`);
  const { pathname, hostname } = new URL(proxy);
  if (pathname !== '/') throw new UnusableKubeconfig(`${path} has a path, and a proxy has none`);
  const reason = judgeHost(hostname, policy);
  if (reason) throw new UnusableKubeconfig(`${path}: ${reason}`);
  return proxy;
}

function readInsecure(cluster: Part, hasAuthority: boolean, policy: KubeconfigPolicy): boolean {
  const path = `${cluster.path}.insecure-skip-tls-verify`;
  const value = textOf(cluster, 'insecure-skip-tls-verify') ?? 'false';
  if (value === 'false') return false;
  if (value !== 'true') throw new UnusableKubeconfig(`${path} is neither true nor false`);
  if (!policy.allowInsecureTls) {
    throw new UnusableKubeconfig(
      `${path} is allowed only with ALLOW_INSECURE_TLS=true: give the authority in certificate-authority-data instead`,
    );
  }
  if (hasAuthority)
    throw new UnusableKubeconfig(`${path} stands beside certificate-authority-data: leave one of them out`);
  return true;
}

function readTlsServerName(cluster: Part): string | undefined {
  const name = textOf(cluster, 'tls-server-name');
  if (name !== undefined && !/^[\w.:-]{1,253}$/.test(name)) {
    throw new UnusableKubeconfig(`${cluster.path}.tls-server-name is not the name of a server`);
  }
  return name;
}

function readNamespace(context: Part): string | undefined {
  const namespace = textOf(context, 'namespace');
  if (namespace !== undefined && !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(namespace)) {
    throw new UnusableKubeconfig(`${context.path}.namespace is not the name of a namespace`);
  }
  return namespace;
}

function readAuthority(cluster: Part, cache: TargetCache): string | undefined {
  const data = textOf(cluster, 'certificate-authority-data');
  if (data === undefined) return undefined;
  let authority = cache.authorities.get(data);
  if (authority === undefined) {
    authority = certificatesOf(cluster, 'certificate-authority-data', data).pem;
    cache.authorities.set(data, authority);
  }
  return authority;
}

function readClientCertificate(user: Part, cache: TargetCache): Target['clientCertificate'] {
  const certificateData = textOf(user, 'client-certificate-data');
  const keyData = textOf(user, 'client-key-data');
  if (certificateData === undefined && keyData === undefined) return undefined;
  if (certificateData === undefined)
    throw new UnusableKubeconfig(`${user.path}.client-key-data stands without client-certificate-data`);
  if (keyData === undefined)
    throw new UnusableKubeconfig(`${user.path}.client-certificate-data stands without client-key-data`);
  const both = `${certificateData}\n${keyData}`;
  let pair = cache.keyPairs.get(both);
  if (pair === undefined) {
    const { leaf, pem } = certificatesOf(user, 'client-certificate-data', certificateData);
    const text = decode(user, 'client-key-data', keyData);
    const key = readPrivateKey(text);
    if (key === undefined) {
      throw new UnusableKubeconfig(
        `${user.path}.client-key-data is not a PEM private key that opens without a passphrase`,
      );
    }
    if (!leaf.checkPrivateKey(key.key)) {
      throw new UnusableKubeconfig(
        `${user.path}.client-key-data does not belong to the first certificate of client-certificate-data`,
      );
    }
    pair = { certificate: pem, key: key.block };
    cache.keyPairs.set(both, pair);
  }
  return pair;
}

function readToken(user: Part): string | undefined {
  const token = textOf(user, 'token');
  if (token === undefined) return undefined;
  if (token.trim() !== token) {
    throw new UnusableKubeconfig(`${user.path}.token begins or ends with a space or a line break: take it away`);
  }
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new UnusableKubeconfig(`${user.path}.token has a space, a line break or another character that no token has`);
  }
  return token;
}

function certificatesOf(part: Part, key: string, data: string) {
  const certificates = readCertificates(decode(part, key, data));
  const [leaf] = certificates ?? [];
  if (!certificates || !leaf) throw new UnusableKubeconfig(`${part.path}.${key} is not the base64 of PEM certificates`);
  return { leaf, pem: certificates.join('') };
}

function decode(part: Part, key: string, data: string): string {
  const packed = data.replace(/\s+/g, '');
  if (packed.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(packed)) {
    throw new UnusableKubeconfig(`${part.path}.${key} is not base64`);
  }
  return Buffer.from(packed, 'base64').toString();
}
