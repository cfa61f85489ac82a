import type { V1APIResource, V1Namespace, V1Node, V1NodeCondition } from '@kubernetes/client-node';
import { ClusterError, notKubernetes } from '../cluster-error.ts';
import type { Call } from '../transport/call.ts';
import type { ClusterClient } from '../transport/call-slots.ts';
import { objectOf } from '../transport/json-object.ts';
import type { ApiResponse } from '../transport/response-collector.ts';
import { type JsonList, type JsonListOptions, readJsonList } from './json-list.ts';
import { isRecord, redact } from './redact.ts';

/** Maximum objects per page, sent to the API server as `limit`. */
export const MAX_OBJECTS = 250;
/** Maximum resources of one group and version in discovery; the core group has about sixty, including subresources. */
const MAX_KINDS = 1_000;
/** Maximum bytes of the /version response, which is normally below 1 KB. */
const MAX_VERSION_BYTES = 64 * 1024;
const MAX_DISCOVERY_BYTES = 2 * 1024 * 1024;
/** Maximum readiness checks in a result; real clusters have one or two dozen. */
const MAX_CHECKS = 200;
const MAX_CHECKS_BYTES = 256 * 1024;
const MAX_LIST = 100;

export interface ResourceQuery {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string | null | undefined;
  readonly labelSelector?: string | null | undefined;
  readonly fieldSelector?: string | null | undefined;
  readonly first: number;
  /** The API server's `continue` token of the previous page. */
  readonly after?: string | null | undefined;
}

export interface ResourcePage {
  /** The objects as returned by the API server, redacted. */
  readonly objects: readonly Record<string, unknown>[];
  readonly next: string | null;
  /** Number of objects after this page; null if the API server does not report it. */
  readonly remaining: number | null;
}

export interface NodeSummary {
  readonly name: string;
  readonly ready: boolean;
  /** `cpu`, `memory` and `pods` are the node's capacity as Kubernetes quantities, such as `16Gi`. */
  readonly cpu: string | null;
  readonly memory: string | null;
  readonly pods: string | null;
  readonly kubeletVersion: string | null;
  readonly conditions: readonly NodeCondition[];
}

interface NodeCondition {
  readonly type: string;
  readonly status: string;
  readonly reason: string | null;
  readonly message: string | null;
}

export interface NamespaceSummary {
  readonly name: string;
  readonly phase: string | null;
}

export interface ReadinessCheck {
  readonly name: string;
  readonly ok: boolean;
}

/** Reads one JSON object. The error of a failed call omits the API server's own message, which may contain secrets. */
async function readObject(client: ClusterClient, path: string, maxBytes: number): Promise<Record<string, unknown>> {
  const object = objectOf(await callSuccessfully(client, path, { maxBytes }));
  if (!object) throw notKubernetes('the response is not a JSON object');
  return object;
}

type ListOptions<Item> = Omit<JsonListOptions<Item>, 'memory'> & Pick<Call, 'maxBytes'>;

/** Reads a list, parsing its items one by one. Items that are not objects are skipped. */
export async function readList<Item>(
  client: ClusterClient,
  path: string,
  { maxBytes, ...options }: ListOptions<Item>,
): Promise<JsonList<Item>> {
  const response = await callSuccessfully(client, path, maxBytes === undefined ? {} : { maxBytes });
  try {
    return await readJsonList(response.body, { ...options, memory: client.memory });
  } finally {
    response.discard();
  }
}

async function callSuccessfully(client: ClusterClient, path: string, call: Call): Promise<ApiResponse> {
  const response = await client.call(path, call);
  if (response.status >= 200 && response.status <= 299) return response;
  response.discard();
  throw client.statusError(response.status);
}

/** The version of the API server, such as `v1.31.0`. */
export async function readVersion(client: ClusterClient): Promise<string> {
  const { gitVersion } = await readObject(client, '/version', MAX_VERSION_BYTES);
  if (typeof gitVersion !== 'string' || !/^[\x21-\x7e]{1,64}$/.test(gitVersion))
    throw notKubernetes('/version has no valid gitVersion');
  return gitVersion;
}

/** The API server's readiness checks, in its order. A server that is not ready sends the same list with HTTP 500. */
export async function readReadiness(client: ClusterClient): Promise<ReadinessCheck[]> {
  const { status, body } = await client.call('/readyz?verbose', {
    accept: 'text/plain, */*',
    maxBytes: MAX_CHECKS_BYTES,
  });
  if (status !== 200 && status !== 500) throw client.statusError(status);
  const checks = body.toString().matchAll(/^\[([+-])\]([\w./-]{1,100}) /gm);
  return Array.from(checks, ([, sign, name = '']) => ({ name, ok: sign === '+' })).slice(0, MAX_CHECKS);
}

/** Called if a list has more items than are returned. `total` is undefined if the API server does not report it. */
export type OnCut = (shown: number, total: number | undefined) => void;

/** The first page of nodes. */
export function readNodes(client: ClusterClient, onCut: OnCut): Promise<NodeSummary[]> {
  return readSummaries(client, 'nodes', { pick: nodeOf, onCut });
}

async function readSummaries<Item>(
  client: ClusterClient,
  resource: string,
  { pick, onCut }: { pick: (item: Record<string, unknown>) => Item; onCut: OnCut },
): Promise<Item[]> {
  const path = `/api/v1/${resource}?limit=${MAX_OBJECTS}`;
  const { head, items, dropped } = await readList(client, path, { ...SUMMARIES, pick });
  const { next, remaining } = continuationOf(head, dropped);
  if (next !== null || dropped > 0) onCut(items.length, remaining === null ? undefined : items.length + remaining);
  return items;
}

/**
 * Summaries keep only a few fields of each item, so the memory limit is
 * charged for the item's text but not per value.
 */
const SUMMARIES = { field: 'items', maxItems: MAX_OBJECTS, valueBytes: 0 };

function nodeOf(node: Record<string, unknown>): NodeSummary {
  const { metadata, status } = node as Partial<V1Node>;
  const conditions = objectsIn<V1NodeCondition>(status?.conditions).map(({ type, status, reason, message }) => ({
    ...{ type: stringOrNull(type) ?? '', status: stringOrNull(status) ?? '' },
    ...{ reason: stringOrNull(reason), message: stringOrNull(message) },
  }));
  return {
    name: stringOrNull(metadata?.name) ?? '',
    ready: conditions.some(({ type, status }) => type === 'Ready' && status === 'True'),
    cpu: stringOrNull(status?.capacity?.cpu),
    memory: stringOrNull(status?.capacity?.memory),
    pods: stringOrNull(status?.capacity?.pods),
    kubeletVersion: stringOrNull(status?.nodeInfo?.kubeletVersion),
    conditions,
  };
}

/** The first page of namespaces. */
export function readNamespaces(client: ClusterClient, onCut: OnCut): Promise<NamespaceSummary[]> {
  return readSummaries(client, 'namespaces', { pick: namespaceOf, onCut });
}

function namespaceOf(namespace: Record<string, unknown>): NamespaceSummary {
  const { metadata, status } = namespace as Partial<V1Namespace>;
  return { name: stringOrNull(metadata?.name) ?? '', phase: stringOrNull(status?.phase) };
}

/**
 * Reads one page of the objects of a kind. The plural name and scope of
 * the kind come from the API server's discovery.
 */
export async function readResources(client: ClusterClient, query: ResourceQuery): Promise<ResourcePage> {
  const groupVersionPath = groupVersionPathOf(query);
  const missing = new ClusterError('NOT_FOUND', `the cluster has no ${query.apiVersion} ${query.kind}`);
  const discovery = await readList(client, groupVersionPath, {
    ...{ field: 'resources', maxItems: MAX_KINDS, maxBytes: MAX_DISCOVERY_BYTES, valueBytes: 0 },
    pick: (item) => item as unknown as V1APIResource,
  }).catch((error: unknown) => {
    throw error instanceof ClusterError && error.code === 'NOT_FOUND' ? missing : error;
  });
  const resource = discovery.items.find(
    ({ name, kind }) => kind === query.kind && typeof name === 'string' && !name.includes('/'),
  );
  if (!resource || !/^[a-z0-9.-]+$/.test(resource.name)) throw missing;
  if (!resource.verbs?.includes('list'))
    throw new ClusterError('INVALID_QUERY', `${query.apiVersion} ${query.kind} cannot be listed`);
  if (query.namespace && !resource.namespaced)
    throw new ClusterError('INVALID_QUERY', `${query.kind} is not namespaced: omit namespace`);
  const namespacePath = query.namespace ? `/namespaces/${query.namespace}` : '';
  const parameters = new URLSearchParams({ limit: String(query.first) });
  for (const [name, value] of Object.entries({
    labelSelector: query.labelSelector,
    fieldSelector: query.fieldSelector,
    continue: query.after,
  }))
    if (value) parameters.set(name, value);
  const { head, items, dropped } = await readList(
    client,
    `${groupVersionPath}${namespacePath}/${resource.name}?${parameters}`,
    {
      ...{ field: 'items', maxItems: query.first },
      pick: (object) => ({
        ...redact(object, query.kind),
        ...{ apiVersion: query.apiVersion, kind: query.kind },
      }),
    },
  ).catch((error: unknown) => {
    if (!(error instanceof ClusterError) || error.code !== 'INVALID_QUERY') throw error;
    throw new ClusterError(
      'INVALID_QUERY',
      `${client.server} rejected the labelSelector, fieldSelector or after as invalid`,
    );
  });
  return { objects: items, ...continuationOf(head, dropped) };
}

/** The continue token of a list, and the number of objects after its items; each is null if unknown or if there is none. */
function continuationOf(head: Record<string, unknown>, dropped: number): Pick<ResourcePage, 'next' | 'remaining'> {
  const metadata = isRecord(head.metadata) ? head.metadata : {};
  const remaining = isCount(metadata.remainingItemCount) ? metadata.remainingItemCount + dropped : dropped || null;
  return {
    next: typeof metadata.continue === 'string' && metadata.continue !== '' ? metadata.continue : null,
    remaining,
  };
}

/** The API path of a group and version. Validates every part that goes into the path, to prevent path traversal. */
function groupVersionPathOf({ apiVersion, kind, namespace }: ResourceQuery): string {
  const invalid = (field: string) => new ClusterError('INVALID_QUERY', `${field} is not a valid Kubernetes ${field}`);
  if (!/^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\/)?v[0-9][a-z0-9]{0,30}$/.test(apiVersion))
    throw invalid('apiVersion');
  if (apiVersion.includes('..')) throw invalid('apiVersion');
  if (!/^[A-Z][A-Za-z0-9]{0,62}$/.test(kind)) throw invalid('kind');
  if (namespace && !/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(namespace)) throw invalid('namespace');
  return apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
}

/** The objects in an untrusted value that should be a list; at most 100. */
function objectsIn<Item>(value: unknown): Item[] {
  return Array.isArray(value) ? (value.slice(0, MAX_LIST).filter(isRecord) as Item[]) : [];
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 31;
}

/** An untrusted value that should be a string; null if it is not. */
function stringOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
