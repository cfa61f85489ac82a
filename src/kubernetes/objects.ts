import type { V1APIResource, V1Namespace, V1Node, V1NodeCondition } from '@kubernetes/client-node';
import type { ClusterClient } from './call-slots.ts';
import { ClusterError, notKubernetes, refusalOf } from './cluster-error.ts';
import { type Call, objectOf } from './connection.ts';
import { type JsonList, type JsonListOptions, readJsonList } from './json-list.ts';
import { isRecord, redact } from './redact.ts';
import type { ApiResponse } from './response-collector.ts';

/** Objects of one page, by the API server's own `limit`. */
export const MAX_OBJECTS = 250;
/** Kinds of one group and version; the core group has some sixty, subresources among them. */
const MAX_KINDS = 1_000;
/** Bytes of the answer to /version, which is below a kilobyte. */
const MAX_VERSION_BYTES = 64 * 1024;
const MAX_DISCOVERY_BYTES = 2 * 1024 * 1024;
/** Readiness checks, conditions of a node: a dozen or two in real life. */
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
  /** The API server's `continue` token. */
  readonly after?: string | null | undefined;
}

export interface ResourcePage {
  /** The objects as the API server has them, redacted. */
  readonly objects: readonly Record<string, unknown>[];
  readonly next: string | null;
  /** How many follow this page, where the API server tells. */
  readonly remaining: number | null;
}

export interface NodeSummary {
  readonly name: string;
  readonly ready: boolean;
  /** Capacities are quantities, as Kubernetes writes them. */
  readonly cpu: string | null;
  readonly memory: string | null;
  readonly pods: string | null;
  readonly kubeletVersion: string | null;
  readonly conditions: readonly NodeCondition[];
}

export interface NodeCondition {
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

/** The object that an API server answers with. What it says of a refusal is not passed on: it may quote anything. */
export async function readObject(
  asker: ClusterClient,
  path: string,
  maxBytes: number,
): Promise<Record<string, unknown>> {
  const object = objectOf(await readAnswer(asker, path, { maxBytes }));
  if (!object) throw notKubernetes('it is no JSON object');
  return object;
}

type ListOptions<Item> = Omit<JsonListOptions<Item>, 'memory'> & Pick<Call, 'maxBytes'>;

/** The items of the list that an API server answers with, read one by one; those that are no objects are omitted. */
async function readList<Item>(
  asker: ClusterClient,
  path: string,
  { maxBytes, ...options }: ListOptions<Item>,
): Promise<JsonList<Item>> {
  const answer = await readAnswer(asker, path, maxBytes === undefined ? {} : { maxBytes });
  try {
    return await readJsonList(answer.body, { ...options, memory: asker.memory });
  } finally {
    answer.discard();
  }
}

async function readAnswer(asker: ClusterClient, path: string, call: Call): Promise<ApiResponse> {
  const answer = await asker.call(path, call);
  if (answer.status >= 200 && answer.status <= 299) return answer;
  answer.discard();
  throw refusalOf(answer.status, asker.server);
}

/** The version of the API server, such as `v1.31.0`. */
export async function readVersion(asker: ClusterClient): Promise<string> {
  const { gitVersion } = await readObject(asker, '/version', MAX_VERSION_BYTES);
  if (typeof gitVersion !== 'string' || !/^[\x21-\x7e]{1,64}$/.test(gitVersion))
    throw notKubernetes('it tells no version');
  return gitVersion;
}

/** The API server's readiness checks by name, in its order; one that is not ready answers 500 with the same list. */
export async function readReadiness(asker: ClusterClient): Promise<ReadinessCheck[]> {
  const { status, body } = await asker.call('/readyz?verbose', {
    accept: 'text/plain, */*',
    maxBytes: MAX_CHECKS_BYTES,
  });
  if (status !== 200 && status !== 500) throw refusalOf(status, asker.server);
  const checks = body.toString().matchAll(/^\[([+-])\]([\w./-]{1,100}) /gm);
  return Array.from(checks, ([, sign, name = '']) => ({ name, ok: sign === '+' })).slice(0, MAX_CHECKS);
}

/** The nodes, at most a page of them. */
export async function readNodes(asker: ClusterClient): Promise<NodeSummary[]> {
  const { items } = await readList(asker, `/api/v1/nodes?limit=${MAX_OBJECTS}`, { ...SUMMARIES, pick: nodeOf });
  return items;
}

/** Only a part of each item is kept: its text is as much as that can take. */
const SUMMARIES = { field: 'items', maxItems: MAX_OBJECTS, valueBytes: 0 };

function nodeOf(node: Record<string, unknown>): NodeSummary {
  const { metadata, status } = node as Partial<V1Node>;
  const conditions = listOf<V1NodeCondition>(status?.conditions).map(({ type, status, reason, message }) => ({
    ...{ type: text(type) ?? '', status: text(status) ?? '' },
    ...{ reason: text(reason), message: text(message) },
  }));
  return {
    name: text(metadata?.name) ?? '',
    ready: conditions.some(({ type, status }) => type === 'Ready' && status === 'True'),
    cpu: text(status?.capacity?.cpu),
    memory: text(status?.capacity?.memory),
    pods: text(status?.capacity?.pods),
    kubeletVersion: text(status?.nodeInfo?.kubeletVersion),
    conditions,
  };
}

/** The namespaces, at most a page of them. */
export async function readNamespaces(asker: ClusterClient): Promise<NamespaceSummary[]> {
  const { items } = await readList(asker, `/api/v1/namespaces?limit=${MAX_OBJECTS}`, {
    ...SUMMARIES,
    pick: (namespace): NamespaceSummary => {
      const { metadata, status } = namespace as Partial<V1Namespace>;
      return { name: text(metadata?.name) ?? '', phase: text(status?.phase) };
    },
  });
  return items;
}

/** One page of the objects of a kind. Its plural and its scope come from the API server's own discovery. */
export async function readResources(asker: ClusterClient, query: ResourceQuery): Promise<ResourcePage> {
  const place = placeOf(query);
  const missing = new ClusterError('NOT_FOUND', `the cluster has no ${query.apiVersion} ${query.kind}`);
  const discovery = await readList(asker, place, {
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
    throw new ClusterError('INVALID_QUERY', `${query.apiVersion} ${query.kind} is nothing that can be listed`);
  if (query.namespace && !resource.namespaced)
    throw new ClusterError('INVALID_QUERY', `${query.kind} is not namespaced: leave namespace out`);
  const within = query.namespace ? `/namespaces/${query.namespace}` : '';
  const parameters = new URLSearchParams({ limit: String(query.first) });
  for (const [name, value] of Object.entries({
    labelSelector: query.labelSelector,
    fieldSelector: query.fieldSelector,
    continue: query.after,
  }))
    if (value) parameters.set(name, value);
  const { head, items } = await readList(asker, `${place}${within}/${resource.name}?${parameters}`, {
    ...{ field: 'items', maxItems: query.first },
    pick: (object) => ({
      ...redact(object, query.kind),
      ...{ apiVersion: query.apiVersion, kind: query.kind },
    }),
  }).catch((error: unknown) => {
    if (!(error instanceof ClusterError) || error.code !== 'INVALID_QUERY') throw error;
    throw new ClusterError('INVALID_QUERY', `${asker.server} does not take this labelSelector, fieldSelector or after`);
  });
  const metadata = isRecord(head.metadata) ? head.metadata : {};
  return {
    objects: items,
    next: typeof metadata.continue === 'string' && metadata.continue !== '' ? metadata.continue : null,
    remaining: isCount(metadata.remainingItemCount) ? metadata.remainingItemCount : null,
  };
}

/** The path of a group and version; every part is held to its grammar, so that it cannot leave its place. */
function placeOf({ apiVersion, kind, namespace }: ResourceQuery): string {
  const refused = (field: string) =>
    new ClusterError('INVALID_QUERY', `${field} is not one that Kubernetes could have`);
  if (!/^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\/)?v[0-9][a-z0-9]{0,30}$/.test(apiVersion))
    throw refused('apiVersion');
  if (apiVersion.includes('..')) throw refused('apiVersion');
  if (!/^[A-Z][A-Za-z0-9]{0,62}$/.test(kind)) throw refused('kind');
  if (namespace && !/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(namespace)) throw refused('namespace');
  return apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
}

/** What a server calls a list may be anything, and of any length. */
function listOf<Item>(value: unknown): Item[] {
  return Array.isArray(value) ? (value.slice(0, MAX_LIST).filter(isRecord) as Item[]) : [];
}

function isCount(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) < 2 ** 31;
}

/** What a server calls a text may be anything. */
function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
