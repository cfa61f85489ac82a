import type { AddressPolicy } from './address.ts';
import { allowOnly, type Part, readTarget, showServer, type TargetCache, textOf } from './kubeconfig-target.ts';
import {
  type Data,
  isMapping,
  type Mapping,
  maxContexts,
  quote,
  readYaml,
  tooManyContexts,
  UnusableKubeconfig,
} from './kubeconfig-yaml.ts';
import { readCertificates } from './pem.ts';

/** What an operator may allow beyond https to addresses that are not loopback. */
export interface KubeconfigPolicy extends AddressPolicy {
  allowHttp: boolean;
  allowInsecureTls: boolean;
  allowProxy: boolean;
}

/** All that is needed to reach one cluster, built field by field out of a kubeconfig and checked. */
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
  /** PEM; the key belongs to the first certificate. */
  clientCertificate?: { certificate: string; key: string };
}

/**
 * One context of a kubeconfig: the target it stands for, or the problem with it.
 * `kubeconfig` is the text to keep: this context alone, which reads as the same again. `apiServer` never holds a credential.
 */
export type ContextReading = {
  name: string;
  kubeconfig: string;
  apiServer?: string;
  /** What `describeCredential` tells of the target, where that was found out beforehand. */
  described?: DescribedCredential;
} & ({ target: Target; problem?: never } | { target?: never; problem: string });

/** What a kubeconfig holds, or the problem that spoils all of it. `current` is set when it names one of the contexts. */
export type KubeconfigReading =
  | { problem: string; contexts?: never }
  | { problem?: never; contexts: ContextReading[]; current?: string };

// A context keeps a copy of its cluster and user: a thousand that share one of a megabyte would be a gigabyte.
const maxKept = 64 * 1024 * 1024;
const maxName = 253;

/** Reads a kubeconfig; runs nothing, opens nothing, looks nothing up, and does not throw whatever the text. */
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
    let kept = 0;
    for (const entry of sections.contexts.values()) {
      const context = readContext(entry, sections, policy, cache);
      kept += context.kubeconfig.length;
      if (kept > maxKept)
        throw new UnusableKubeconfig('the contexts of the kubeconfig share too much to keep a copy for each');
      contexts.push(context);
    }
    const current = root['current-context'];
    return typeof current === 'string' && sections.contexts.has(current) ? { contexts, current } : { contexts };
  } catch (error) {
    if (error instanceof UnusableKubeconfig) return { problem: error.message };
    throw error;
  }
}

/** The context of that name; without a name the current one, else the only one, else the problem that a choice is needed. */
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

/** What a target shows the API server to say who it is. */
export type CredentialKind = 'TOKEN' | 'CLIENT_CERTIFICATE' | 'TOKEN_AND_CERTIFICATE' | 'NONE';

/** The kind of a credential and when the first part of it, and the last of its CAs, expires. */
export interface DescribedCredential {
  kind: CredentialKind;
  expiresAt?: Date;
  caExpiresAt?: Date;
}

/** Tells the kind of a target's credential and when the first part of it ends, where that can be read from it. */
export function describeCredential(target: Target): DescribedCredential {
  const { token, clientCertificate, caData } = target;
  const ends = clientCertificate ? endsOf(clientCertificate.certificate) : [];
  const tokenEnd = token === undefined ? undefined : tokenExpiry(token);
  if (tokenEnd !== undefined) ends.push(tokenEnd);
  const caEnds = caData === undefined ? [] : endsOf(caData);
  return {
    kind: kindOf(target),
    ...(ends.length === 0 ? {} : { expiresAt: new Date(Math.min(...ends)) }),
    // A bundle holds the old and the new authority side by side while one takes over from the other.
    ...(caEnds.length === 0 ? {} : { caExpiresAt: new Date(Math.max(...caEnds)) }),
  };
}

function endsOf(pem: string): number[] {
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
const bodies = { contexts: 'context', clusters: 'cluster', users: 'user' } as const;

function readContext(entry: Entry, sections: Sections, policy: KubeconfigPolicy, cache: TargetCache): ContextReading {
  const { name, context: body } = entry;
  const [clusterName, userName] = isMapping(body) ? [body.cluster, body.user] : [];
  const clusterEntry = typeof clusterName === 'string' ? sections.clusters.get(clusterName) : undefined;
  const userEntry = typeof userName === 'string' ? sections.users.get(userName) : undefined;
  try {
    const context = partOf('contexts', entry);
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
      cluster: partOf('clusters', clusterEntry),
      user: userEntry && partOf('users', userEntry),
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
      throw new UnusableKubeconfig(`the name of ${section}[${index}] has a control character in it`);
    }
    if (entries.has(name)) throw new UnusableKubeconfig(`${section} has two entries named ${quote(name)}`);
    entries.set(name, entry);
  }
  return entries;
}

function isEntry(data: Data): data is Entry {
  return isMapping(data) && typeof data.name === 'string' && data.name !== '';
}

function partOf(section: Section, entry: Entry): Part {
  const path = `${section}[${quote(entry.name)}]`;
  const key = bodies[section];
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
