import { readCertificates } from './pem.ts';
import {
  allowOnly,
  type KubeconfigPolicy,
  type Part,
  readTarget,
  showServer,
  type Target,
  type TargetCache,
  textOf,
} from './target.ts';
import {
  type Data,
  isMapping,
  type Mapping,
  maxContexts,
  quote,
  readYaml,
  tooManyContexts,
  UnusableKubeconfig,
} from './yaml.ts';

/**
 * One parsed context of a kubeconfig: its target, or the reason why it is unusable.
 * `kubeconfig` is the text to store: a kubeconfig with this context only, which parses to the same reading.
 * `apiServer` never contains a credential.
 */
export type ContextReading = {
  name: string;
  kubeconfig: string;
  apiServer?: string;
  /** The result of `describeCredential` for the target, if the worker thread has computed it. */
  described?: DescribedCredential;
} & ({ target: Target; problem?: never } | { target?: never; problem: string });

/**
 * The contexts of a kubeconfig, or the problem that makes the whole file unusable. `current` is set only if
 * `current-context` names an existing context.
 */
export type KubeconfigReading =
  | { problem: string; contexts?: never }
  | { problem?: never; contexts: ContextReading[]; current?: string };

// Characters of all stored kubeconfigs together. Each context stores a copy of its cluster and user: a thousand
// contexts that share one cluster of 1 MB would take 1 GB.
const maxStoredLength = 64 * 1024 * 1024;
const maxName = 253;

/** Parses a kubeconfig. Runs no command, opens no file, resolves no name, and never throws on invalid input. */
export function readKubeconfig(text: string, policy: KubeconfigPolicy): KubeconfigReading {
  try {
    const root = readRoot(readYaml(text));
    const sections = {
      contexts: readEntries(root, 'contexts'),
      clusters: readEntries(root, 'clusters'),
      users: readEntries(root, 'users'),
    };
    if (sections.contexts.size === 0) throw new UnusableKubeconfig('the kubeconfig has no contexts');
    if (sections.contexts.size > maxContexts) throw tooManyContexts();
    const cache: TargetCache = { authorities: new Map(), keyPairs: new Map() };
    const contexts: ContextReading[] = [];
    let storedLength = 0;
    for (const entry of sections.contexts.values()) {
      const context = readContext(entry, sections, policy, cache);
      storedLength += context.kubeconfig.length;
      if (storedLength > maxStoredLength)
        throw new UnusableKubeconfig(
          'the contexts of the kubeconfig share too much data to store a copy for each: split it',
        );
      contexts.push(context);
    }
    const current = root['current-context'];
    return typeof current === 'string' && sections.contexts.has(current) ? { contexts, current } : { contexts };
  } catch (error) {
    if (error instanceof UnusableKubeconfig) return { problem: error.message };
    throw error;
  }
}

/**
 * Returns the named context. Without a name: the current context, else the
 * only one, else a problem that asks for a choice.
 */
export function chooseContext(reading: KubeconfigReading, name?: string): ContextReading | { problem: string } {
  if (reading.contexts === undefined) return { problem: reading.problem };
  const { contexts, current } = reading;
  const wanted = name ?? current ?? (contexts.length === 1 ? contexts[0]?.name : undefined);
  const found = contexts.find((context) => context.name === wanted);
  if (found) return found;
  const names = contexts.slice(0, 10).map((context) => quote(context.name));
  if (contexts.length > names.length) names.push(`${contexts.length - names.length} more`);
  const list = names.join(', ');
  return {
    problem:
      wanted === undefined
        ? `no context of the kubeconfig is current: choose one of ${list}`
        : `the kubeconfig has no context ${quote(wanted)}: choose one of ${list}`,
  };
}

/** How a target authenticates to the API server. */
export type CredentialKind = 'TOKEN' | 'CLIENT_CERTIFICATE' | 'TOKEN_AND_CERTIFICATE' | 'NONE';

/**
 * `expiresAt`: when the first of token and client certificates expires.
 * `caExpiresAt`: when the last CA expires. Absent if unknown.
 */
export interface DescribedCredential {
  kind: CredentialKind;
  expiresAt?: Date;
  caExpiresAt?: Date;
}

export function describeCredential(target: Target): DescribedCredential {
  const { token, clientCertificate, caData } = target;
  const expiryTimes = clientCertificate ? expiryTimesOf(clientCertificate.certificate) : [];
  const tokenExpiresAt = token === undefined ? undefined : tokenExpiry(token);
  if (tokenExpiresAt !== undefined) expiryTimes.push(tokenExpiresAt);
  const caExpiryTimes = caData === undefined ? [] : expiryTimesOf(caData);
  return {
    kind: kindOf(target),
    ...(expiryTimes.length === 0 ? {} : { expiresAt: new Date(Math.min(...expiryTimes)) }),
    // During a CA rotation the bundle contains both the old and the new CA, so the last expiry counts.
    ...(caExpiryTimes.length === 0 ? {} : { caExpiresAt: new Date(Math.max(...caExpiryTimes)) }),
  };
}

function expiryTimesOf(pem: string): number[] {
  return (readCertificates(pem) ?? []).map((certificate) => certificate.validToDate.getTime());
}

function kindOf({ token, clientCertificate }: Target): CredentialKind {
  if (clientCertificate) return token === undefined ? 'CLIENT_CERTIFICATE' : 'TOKEN_AND_CERTIFICATE';
  return token === undefined ? 'NONE' : 'TOKEN';
}

function tokenExpiry(token: string): number | undefined {
  const parts = token.split('.');
  if (parts.length !== 3) return undefined;
  try {
    const { exp } = JSON.parse(Buffer.from(parts[1] ?? '', 'base64url').toString()) as { exp?: unknown };
    const end = typeof exp === 'number' ? exp * 1000 : Number.NaN;
    return Number.isNaN(new Date(end).getTime()) ? undefined : end;
  } catch {
    return undefined;
  }
}

type Section = 'contexts' | 'clusters' | 'users';
type Entry = Mapping & { name: string };
type Sections = Record<Section, Map<string, Entry>>;
const bodyKeys = { contexts: 'context', clusters: 'cluster', users: 'user' } as const;

function readContext(entry: Entry, sections: Sections, policy: KubeconfigPolicy, cache: TargetCache): ContextReading {
  const { name, context: body } = entry;
  const [clusterName, userName] = isMapping(body) ? [body.cluster, body.user] : [];
  const clusterEntry = typeof clusterName === 'string' ? sections.clusters.get(clusterName) : undefined;
  const userEntry = typeof userName === 'string' ? sections.users.get(userName) : undefined;
  try {
    const context = parsePart('contexts', entry);
    const cluster = textOf(context, 'cluster');
    if (cluster === undefined) throw new UnusableKubeconfig(`${context.path}.cluster is missing`);
    const user = textOf(context, 'user');
    if (!clusterEntry)
      throw new UnusableKubeconfig(`${context.path}.cluster names a cluster that is not in the kubeconfig`);
    if (user !== undefined && !userEntry) {
      throw new UnusableKubeconfig(`${context.path}.user names a user that is not in the kubeconfig`);
    }
    const parts = {
      context,
      cluster: parsePart('clusters', clusterEntry),
      user: userEntry && parsePart('users', userEntry),
    };
    const target = readTarget(parts, policy, cache);
    return { name, kubeconfig: writeTarget(target, name, cluster, user), apiServer: target.server, target };
  } catch (error) {
    if (!(error instanceof UnusableKubeconfig)) throw error;
    const kubeconfig = writeEntries(entry, clusterEntry, userEntry);
    const apiServer = showServer(clusterEntry?.cluster);
    return { name, kubeconfig, ...(apiServer !== undefined && { apiServer }), problem: error.message };
  }
}

function readRoot(data: Data): Mapping {
  if (data === null) throw new UnusableKubeconfig('the kubeconfig is empty');
  if (!isMapping(data))
    throw new UnusableKubeconfig('the kubeconfig is not a mapping with contexts, clusters and users');
  if ((data.kind || 'Config') !== 'Config') throw new UnusableKubeconfig('the kind of the kubeconfig is not Config');
  if ((data.apiVersion || 'v1') !== 'v1') throw new UnusableKubeconfig('the apiVersion of the kubeconfig is not v1');
  return data;
}

function readEntries(root: Mapping, section: Section): Map<string, Entry> {
  const list = root[section] ?? [];
  if (!Array.isArray(list)) throw new UnusableKubeconfig(`${section} is not a list`);
  const entries = new Map<string, Entry>();
  for (const [index, entry] of list.entries()) {
    if (!isEntry(entry)) throw new UnusableKubeconfig(`${section}[${index}] has no name`);
    const { name } = entry;
    if (name.length > maxName)
      throw new UnusableKubeconfig(`the name of ${section}[${index}] is longer than 253 characters`);
    if (/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(name)) {
      throw new UnusableKubeconfig(`the name of ${section}[${index}] contains a control character`);
    }
    if (entries.has(name)) throw new UnusableKubeconfig(`${section} has two entries named ${quote(name)}`);
    entries.set(name, entry);
  }
  return entries;
}

function isEntry(data: Data): data is Entry {
  return isMapping(data) && typeof data.name === 'string' && data.name !== '';
}

function parsePart(section: Section, entry: Entry): Part {
  const path = `${section}[${quote(entry.name)}]`;
  const key = bodyKeys[section];
  allowOnly({ path, fields: entry }, ['name', key]);
  const body = entry[key] ?? Object.create(null);
  if (!isMapping(body)) throw new UnusableKubeconfig(`${path}.${key} is not a mapping`);
  return { path: `${path}.${key}`, fields: body };
}

function writeTarget(target: Target, name: string, clusterName: string, userName: string | undefined): string {
  const cluster = {
    server: target.server,
    'certificate-authority-data': toBase64(target.caData),
    'insecure-skip-tls-verify': target.insecureSkipTlsVerify || undefined,
    'proxy-url': target.proxyURL,
    'tls-server-name': target.tlsServerName,
  };
  const user = {
    'client-certificate-data': toBase64(target.clientCertificate?.certificate),
    'client-key-data': toBase64(target.clientCertificate?.key),
    token: target.token,
  };
  return writeEntries(
    { name, context: { cluster: clusterName, namespace: target.namespace, user: userName } },
    { name: clusterName, cluster },
    userName === undefined ? undefined : { name: userName, user },
  );
}

function writeEntries(context: { name: string; context?: unknown }, cluster?: object, user?: object): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: cluster ? [cluster] : [],
    contexts: [context],
    'current-context': context.name,
    users: user ? [user] : [],
  });
}

function toBase64(pem: string | undefined): string | undefined {
  return pem === undefined ? undefined : Buffer.from(pem).toString('base64');
}
