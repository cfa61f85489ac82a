import type { AddressPolicy } from '../transport/address.ts';
import { judgeHost } from '../transport/address.ts';
import { readCertificates, readPrivateKey } from './pem.ts';
import { type Data, isMapping, type Mapping, quote, UnusableKubeconfig } from './yaml.ts';

/** The three mappings that define the target of a context. */
export interface Parts {
  context: Part;
  cluster: Part;
  user: Part | undefined;
}

/** A mapping of a kubeconfig, and its path for error messages. */
export interface Part {
  path: string;
  fields: Mapping;
}

/** Caches validated certificates and keys by their base64 text, because thousands of contexts may share one CA. */
export interface TargetCache {
  authorities: Map<string, string>;
  keyPairs: Map<string, { certificate: string; key: string }>;
}

const flatten = 'create a kubeconfig that contains it with `kubectl config view --raw --flatten`';
const instead =
  'use a service account token instead (deploy/reader.yaml creates one with read access); ' +
  '`npm run kitestring -- kubeconfig --context NAME` creates a self-contained kubeconfig';
const file = (field: string) => `names a file, and files are never read: use ${field}, or ${flatten}`;
const tokenFile = 'names a file, and files are never read: put the token itself into token';
const impersonation = `requests impersonation, which is not supported: ${instead}`;
const basic = `belongs to basic authentication, which Kubernetes no longer supports: ${instead}`;

const refusedOfCluster: Record<string, string> = {
  'certificate-authority': file('certificate-authority-data'),
};
const refusedOfUser: Record<string, string> = {
  exec: `is a command, and commands are never run: ${instead}`,
  'auth-provider': `is a plugin, and plugins are never run: ${instead}`,
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

/** Validates a context and builds its target. Throws UnusableKubeconfig with the first problem. */
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

/**
 * The URL of a cluster's API server for display; undefined if it is not a
 * valid URL. Does not apply the address policy.
 */
export function showServer(cluster: Data | undefined): string | undefined {
  try {
    return isMapping(cluster) ? readURL({ path: 'cluster', fields: cluster }, 'server') : undefined;
  } catch (error) {
    if (error instanceof UnusableKubeconfig) return undefined;
    throw error;
  }
}

/**
 * The string under a key; undefined if absent or empty. Throws if it is one
 * of kubectl's placeholders for a redacted secret.
 */
export function textOf({ path, fields }: Part, key: string): string | undefined {
  const value = fields[key];
  if (isAbsent(value)) return undefined;
  if (typeof value !== 'string') throw new UnusableKubeconfig(`${path}.${key} is not text`);
  if (value === 'DATA+OMITTED' || value === 'REDACTED') {
    throw new UnusableKubeconfig(`${path}.${key} was omitted when this kubeconfig was printed: ${flatten}`);
  }
  return value;
}

function isAbsent(value: Data | undefined): boolean {
  return value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0);
}

/**
 * Throws UnusableKubeconfig for the first unknown key that has a value;
 * `refused` contains specific messages for some keys.
 */
export function allowOnly({ path, fields }: Part, known: string[], refused: Record<string, string> = {}): void {
  for (const [key, value] of Object.entries(fields)) {
    if (known.includes(key) || isAbsent(value)) continue;
    const reason = Object.hasOwn(refused, key) ? refused[key] : undefined;
    if (reason) throw new UnusableKubeconfig(`${path}.${key} ${reason}`);
    throw new UnusableKubeconfig(`${path}.${/^[\w-]{1,40}$/.test(key) ? key : quote(key, 40)} is not known`);
  }
}

// Matches the original text, because `URL` silently normalizes `..`, line breaks and backslashes.
const plainURL = /^https?:\/\/[^/?#@%\\]+(?:\/(?!\.{1,2}(?:\/|$))[\w.~!$&'()*+,;=:-]+)*\/?$/i;

function readURL(part: Part, key: string): string | undefined {
  const raw = textOf(part, key);
  if (raw === undefined) return undefined;
  const path = `${part.path}.${key}`;
  if (raw.length > 2048) throw new UnusableKubeconfig(`${path} is longer than 2,048 characters`);
  if (!/^[\x21-\x7e]*$/.test(raw))
    throw new UnusableKubeconfig(
      `${path} contains a space, a line break or another character that is not allowed in a URL`,
    );
  if (!/^https?:\/\//i.test(raw)) throw new UnusableKubeconfig(`${path} is not a URL that begins with https://`);
  if (/^[^:]+:\/\/[^/?#\\]*@/.test(raw)) throw new UnusableKubeconfig(`${path} contains user info: ${instead}`);
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
  if (pathname !== '/') throw new UnusableKubeconfig(`${path} must not have a path`);
  const reason = judgeHost(hostname, policy);
  if (reason) throw new UnusableKubeconfig(`${path}: ${reason}`);
  return proxy;
}

function readInsecure(cluster: Part, hasAuthority: boolean, policy: KubeconfigPolicy): boolean {
  const path = `${cluster.path}.insecure-skip-tls-verify`;
  const value = textOf(cluster, 'insecure-skip-tls-verify') ?? 'false';
  if (value === 'false') return false;
  if (value !== 'true') throw new UnusableKubeconfig(`${path} must be true or false`);
  if (!policy.allowInsecureTls) {
    throw new UnusableKubeconfig(
      `${path} is allowed only with ALLOW_INSECURE_TLS=true: set certificate-authority-data to the CA instead`,
    );
  }
  if (hasAuthority)
    throw new UnusableKubeconfig(`${path} cannot be combined with certificate-authority-data: omit one of them`);
  return true;
}

function readTlsServerName(cluster: Part): string | undefined {
  const name = textOf(cluster, 'tls-server-name');
  if (name !== undefined && !/^[\w.:-]{1,253}$/.test(name)) {
    throw new UnusableKubeconfig(`${cluster.path}.tls-server-name is not a valid server name`);
  }
  return name;
}

function readNamespace(context: Part): string | undefined {
  const namespace = textOf(context, 'namespace');
  if (namespace !== undefined && !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(namespace)) {
    throw new UnusableKubeconfig(`${context.path}.namespace is not a valid namespace name`);
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
    throw new UnusableKubeconfig(`${user.path}.client-key-data is set without client-certificate-data`);
  if (keyData === undefined)
    throw new UnusableKubeconfig(`${user.path}.client-certificate-data is set without client-key-data`);
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
    throw new UnusableKubeconfig(`${user.path}.token begins or ends with a space or a line break: remove it`);
  }
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new UnusableKubeconfig(
      `${user.path}.token contains a space, a line break or another character that is not allowed in a token`,
    );
  }
  return token;
}

function certificatesOf(part: Part, key: string, data: string) {
  const certificates = readCertificates(decode(part, key, data));
  const [leaf] = certificates ?? [];
  if (!certificates || !leaf) throw new UnusableKubeconfig(`${part.path}.${key} is not base64 of PEM certificates`);
  return { leaf, pem: certificates.join('') };
}

function decode(part: Part, key: string, data: string): string {
  const compact = data.replace(/\s+/g, '');
  if (compact.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(compact)) {
    throw new UnusableKubeconfig(`${part.path}.${key} is not base64`);
  }
  return Buffer.from(compact, 'base64').toString();
}

/**
 * Operator settings that relax the default policy: by default, a target must use verified https to a non-loopback
 * address, without a proxy.
 */
export interface KubeconfigPolicy extends AddressPolicy {
  allowHttp: boolean;
  allowInsecureTls: boolean;
  allowProxy: boolean;
}

/** Validated connection settings for one cluster, extracted field by field from a kubeconfig. */
export interface Target {
  /** URL without user info, query or trailing slash. */
  server: string;
  /** PEM. */
  caData?: string;
  tlsServerName?: string;
  insecureSkipTlsVerify: boolean;
  namespace?: string;
  proxyURL?: string;
  token?: string;
  /** PEM; `key` is the private key of the first certificate. */
  clientCertificate?: { certificate: string; key: string };
}
