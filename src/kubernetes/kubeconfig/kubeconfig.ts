import { type CertificateCache, emptyCertificateCache } from './certificates.ts';
import type { DescribedCredential } from './describe.ts';
import { type Entry, listOf, parsePart, readEntries, type Sections } from './entries.ts';
import { textOf } from './part.ts';
import { type KubeconfigPolicy, readTarget, showServer, type Target } from './target.ts';
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
  /** A sentence about each field that was ignored or changed; at most 20. */
  warnings: string[];
  /** The result of `describeCredential` for the target, if the worker thread has computed it. */
  described?: DescribedCredential;
} & ({ target: Target; problem?: never } | { target?: never; problem: string });

/**
 * The contexts of a kubeconfig, or the problem that makes the whole file unusable. `current` is set only if
 * `current-context` names an existing context. `warnings` has a sentence about each context that was ignored; at most
 * 20.
 */
export type KubeconfigReading =
  | { problem: string; contexts?: never }
  | { problem?: never; contexts: ContextReading[]; current?: string; warnings: string[] };

// Characters of all stored kubeconfigs together. Each context stores a copy of its cluster and user: a thousand
// contexts that share one cluster of 1 MB would take 1 GB.
const maxStoredLength = 64 * 1024 * 1024;
const maxWarnings = 20;

/** Parses a kubeconfig. Runs no command, opens no file, resolves no name, and never throws on invalid input. */
export function readKubeconfig(text: string, policy: KubeconfigPolicy): KubeconfigReading {
  try {
    const root = readRoot(readYaml(text));
    const ignored: string[] = [];
    const sections: Sections = {
      contexts: readEntries(root, 'contexts', ignored),
      clusters: readEntries(root, 'clusters'),
      users: readEntries(root, 'users'),
    };
    const warnings = shorten(ignored);
    if (sections.contexts.size === 0)
      throw new UnusableKubeconfig(['the kubeconfig has no contexts', ...warnings].join('; '));
    if (sections.contexts.size > maxContexts) throw tooManyContexts();
    const cache = emptyCertificateCache();
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
    return typeof current === 'string' && sections.contexts.has(current)
      ? { contexts, current, warnings }
      : { contexts, warnings };
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

function readContext(
  entry: Entry,
  sections: Sections,
  policy: KubeconfigPolicy,
  cache: CertificateCache,
): ContextReading {
  const { name, context: body } = entry;
  const [clusterName, userName] = isMapping(body) ? [body.cluster, body.user] : [];
  const clusterEntry = typeof clusterName === 'string' ? sections.clusters.get(clusterName) : undefined;
  const userEntry = typeof userName === 'string' ? sections.users.get(userName) : undefined;
  const found: string[] = [];
  try {
    const context = parsePart('contexts', entry, found);
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
      cluster: parsePart('clusters', clusterEntry, found),
      user: userEntry && parsePart('users', userEntry, found),
    };
    const target = readTarget(parts, policy, cache);
    const kubeconfig = writeTarget(target, name, cluster, user);
    return { name, kubeconfig, apiServer: target.server, target, warnings: shorten(found) };
  } catch (error) {
    if (!(error instanceof UnusableKubeconfig)) throw error;
    const kubeconfig = writeEntries(name, listOf(entry), listOf(clusterEntry), listOf(userEntry));
    const apiServer = showServer(clusterEntry?.cluster);
    const warnings = shorten(found);
    return { name, kubeconfig, ...(apiServer !== undefined && { apiServer }), problem: error.message, warnings };
  }
}

function shorten(warnings: readonly string[]): string[] {
  if (warnings.length <= maxWarnings) return [...warnings];
  return [...warnings.slice(0, maxWarnings - 1), `and ${warnings.length - maxWarnings + 1} more`];
}

function readRoot(data: Data): Mapping {
  if (data === null) throw new UnusableKubeconfig('the kubeconfig is empty');
  if (!isMapping(data))
    throw new UnusableKubeconfig('the kubeconfig is not a mapping with contexts, clusters and users');
  if ((data.kind || 'Config') !== 'Config') throw new UnusableKubeconfig('the kind of the kubeconfig is not Config');
  if ((data.apiVersion || 'v1') !== 'v1') throw new UnusableKubeconfig('the apiVersion of the kubeconfig is not v1');
  return data;
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
    name,
    [{ name, context: { cluster: clusterName, namespace: target.namespace, user: userName } }],
    [{ name: clusterName, cluster }],
    userName === undefined ? [] : [{ name: userName, user }],
  );
}

function writeEntries(current: string, contexts: object[], clusters: object[], users: object[]): string {
  const root = { apiVersion: 'v1', kind: 'Config', clusters, contexts, 'current-context': current, users };
  return JSON.stringify(root);
}

function toBase64(pem: string | undefined): string | undefined {
  return pem === undefined ? undefined : Buffer.from(pem).toString('base64');
}
