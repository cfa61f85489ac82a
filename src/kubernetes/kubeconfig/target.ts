import { type AddressPolicy, hostProblem } from '../transport/address.ts';
import { type CertificateCache, type KeyPair, readAuthority, readClientCertificate } from './certificates.ts';
import { booleanOf, checkKeys, FLATTEN, isAbsent, type Part, textOf } from './part.ts';
import { type Data, isMapping, UnusableKubeconfig } from './yaml.ts';

/** The three mappings that define the target of a context. */
export interface Parts {
  readonly context: Part;
  readonly cluster: Part;
  readonly user: Part | undefined;
}

const instead =
  'use a service account token instead (deploy/reader.yaml creates one with read access); ' +
  '`npm run kitestring -- kubeconfig --context NAME` creates a self-contained kubeconfig';
const file = (field: string) => `names a file, and files are never read: use ${field}, or ${FLATTEN}`;
const tokenFile = 'names a file, and files are never read: put the token itself into token';
const impersonation = `requests impersonation, which is not supported: ${instead}`;
const basic = `belongs to basic authentication, which Kubernetes no longer supports: ${instead}`;

// The key of each file, and the key that replaces it. kubectl ignores a file if the kubeconfig contains its content.
const fileOf: Record<string, string> = {
  'certificate-authority': 'certificate-authority-data',
  'client-certificate': 'client-certificate-data',
  'client-key': 'client-key-data',
};
const refusedOfUser: Record<string, string> = {
  exec: `is a command, and commands are never run: ${instead}`,
  'auth-provider': `is a plugin, and plugins are never run: ${instead}`,
  tokenFile,
  'token-file': tokenFile,
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
const knownOfUser = ['token', 'client-certificate-data', 'client-key-data', 'username', 'password', 'extensions'];

/** Validates a context and builds its target. Throws UnusableKubeconfig with the first problem. */
export function readTarget(
  { context, cluster, user }: Parts,
  policy: KubeconfigPolicy,
  cache: CertificateCache,
): Target {
  checkKeys(context, knownOfContext);
  checkKeys(cluster, [...knownOfCluster, ...readFiles(cluster)]);
  const server = readServer(cluster, policy);
  const caData = readAuthority(cluster, cache);
  const tlsServerName = readTlsServerName(cluster);
  const insecureSkipTlsVerify = readInsecure(cluster, caData !== undefined, policy);
  const proxyURL = readProxy(cluster, policy);
  const namespace = readNamespace(context);
  const identity = user && readIdentity(user, cache);
  return {
    server,
    ...(caData !== undefined && { caData }),
    ...(tlsServerName !== undefined && { tlsServerName }),
    insecureSkipTlsVerify,
    ...(namespace !== undefined && { namespace }),
    ...(proxyURL !== undefined && { proxyURL }),
    ...identity,
  };
}

/** Reads the token and the client certificate of a user. */
function readIdentity(user: Part, cache: CertificateCache): Pick<Target, 'token' | 'clientCertificate'> {
  checkKeys(user, [...knownOfUser, ...readFiles(user)], refusedOfUser);
  const token = readToken(user);
  const clientCertificate = readClientCertificate(user, cache, { isIdentified: token !== undefined });
  for (const key of ['username', 'password']) {
    if (isAbsent(user.fields[key])) continue;
    if (token === undefined && !clientCertificate) throw new UnusableKubeconfig(`${user.path}.${key} ${basic}`);
    user.warnings.push(`${user.path}.${key} was ignored: Kubernetes no longer supports basic authentication`);
  }
  return { ...(token !== undefined && { token }), ...(clientCertificate && { clientCertificate }) };
}

/** Returns the keys of a part that name files. Throws if the kubeconfig does not contain the content of such a file. */
function readFiles({ path, fields, warnings }: Part): string[] {
  const keys = Object.keys(fileOf).filter((key) => !isAbsent(fields[key]));
  for (const key of keys) {
    const data = fileOf[key] as string;
    if (isAbsent(fields[data])) throw new UnusableKubeconfig(`${path}.${key} ${file(data)}`);
    warnings.push(`${path}.${key} was ignored, because ${data} is set`);
  }
  return keys;
}

/**
 * The URL of a cluster's API server for display; undefined if it is not a
 * valid URL. Does not apply the address policy.
 */
export function showServer(cluster: Data | undefined): string | undefined {
  try {
    return isMapping(cluster) ? readURL({ path: 'cluster', fields: cluster, warnings: [] }, 'server') : undefined;
  } catch (error) {
    if (error instanceof UnusableKubeconfig) return undefined;
    throw error;
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
  const reason = hostProblem(hostname, policy);
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
  const reason = hostProblem(hostname, policy);
  if (reason) throw new UnusableKubeconfig(`${path}: ${reason}`);
  return proxy;
}

function readInsecure(cluster: Part, hasAuthority: boolean, policy: KubeconfigPolicy): boolean {
  const path = `${cluster.path}.insecure-skip-tls-verify`;
  if (!booleanOf(cluster, 'insecure-skip-tls-verify')) return false;
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
  if (namespace === undefined || /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(namespace)) return namespace;
  context.warnings.push(`${context.path}.namespace is not a valid namespace name and was ignored`);
  return undefined;
}

function readToken(user: Part): string | undefined {
  const text = textOf(user, 'token');
  if (text === undefined) return undefined;
  const token = text.replace(/\r?\n$/, '').replace(/^[ \t]+|[ \t]+$/g, '');
  if (token === '') throw new UnusableKubeconfig(`${user.path}.token is blank`);
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new UnusableKubeconfig(
      `${user.path}.token contains a space, a line break or another character that is not allowed in a token`,
    );
  }
  if (token !== text) user.warnings.push(`${user.path}.token has blanks or a line break around it, which were removed`);
  return token;
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
  clientCertificate?: KeyPair;
}
