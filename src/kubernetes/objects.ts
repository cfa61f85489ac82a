import type { V1APIResource, V1Namespace, V1Node } from '@kubernetes/client-node';
import { type Call, type Connection, objectOf } from './connection.ts';
import { ClusterError, refusalOf } from './errors.ts';
import { isRecord, redact } from './redact.ts';

/** Asks the connection; counts as one call to the cluster. */
export type Read = (path: string, call?: Call) => Promise<Record<string, unknown>>;

/** Objects of one page, by the API server's own `limit`. */
export const MAX_PAGE = 250;
/** Characters of what an API server says of a question that are passed on. */
const MAX_SAID = 300;

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

/** Reads over a connection, with the refusals that a question of a person can meet. */
export function readerOf(connection: Connection, call: Call): Read {
  return async (path, more) => {
    const answer = await connection.call(path, { ...call, ...more });
    const object = objectOf(answer);
    const said = isRecord(object) && typeof object.message === 'string' ? object.message.slice(0, MAX_SAID) : '';
    if (answer.status === 404) throw new ClusterError('NOT_FOUND', `${connection.server} has nothing there`);
    if (answer.status === 410)
      throw new ClusterError('EXPIRED', 'the cursor is too old: begin with the first page again');
    if (answer.status === 400 || answer.status === 422)
      throw new ClusterError('INVALID_QUERY', `${connection.server} does not take the question: ${said}`);
    if (answer.status < 200 || answer.status > 299) throw refusalOf(answer.status, connection.server);
    if (!object) throw strange('it is no JSON object');
    return object;
  };
}

/** The version of the API server, such as `v1.31.0`. */
export async function readVersion(read: Read): Promise<string> {
  const { gitVersion } = await read('/version');
  if (typeof gitVersion !== 'string') throw strange('its version is no text');
  return gitVersion.slice(0, 64);
}

/** The API server's readiness checks by name, in its order; one that is not ready answers 500 with the same list. */
export async function readReadiness(connection: Pick<Connection, 'call'>, call: Call): Promise<ReadinessCheck[]> {
  const { body } = await connection.call('/readyz?verbose', { ...call, accept: 'text/plain, */*' });
  const checks = body.toString().matchAll(/^\[([+-])\]([\w./-]{1,100}) /gm);
  return Array.from(checks, ([, sign, name = '']) => ({ name, ok: sign === '+' }));
}

/** The nodes, at most a page of them. */
export async function readNodes(read: Read): Promise<NodeSummary[]> {
  const nodes = itemsOf(await read(`/api/v1/nodes?limit=${MAX_PAGE}`)) as V1Node[];
  return nodes.map(({ metadata, status }) => {
    const conditions = (status?.conditions ?? []).map(({ type, status, reason, message }) => ({
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
  });
}

/** The namespaces, at most a page of them. */
export async function readNamespaces(read: Read): Promise<NamespaceSummary[]> {
  const namespaces = itemsOf(await read(`/api/v1/namespaces?limit=${MAX_PAGE}`)) as V1Namespace[];
  return namespaces.map(({ metadata, status }) => ({ name: text(metadata?.name) ?? '', phase: text(status?.phase) }));
}

/** One page of the objects of a kind. Its plural and its scope come from the API server's own discovery. */
export async function readResources(read: Read, query: ResourceQuery): Promise<ResourcePage> {
  const place = placeOf(query);
  const discovered = itemsOf(await read(place), 'resources') as unknown as V1APIResource[];
  const resource = discovered.find(({ name, kind }) => kind === query.kind && !name.includes('/'));
  if (!resource || !/^[a-z0-9.-]+$/.test(resource.name))
    throw new ClusterError('NOT_FOUND', `the cluster has no ${query.apiVersion} ${query.kind}`);
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
  const list = await read(`${place}${within}/${resource.name}?${parameters}`);
  const metadata = isRecord(list.metadata) ? list.metadata : {};
  return {
    objects: itemsOf(list).map((object) => ({
      ...redact(object, query.kind),
      ...{ apiVersion: query.apiVersion, kind: query.kind },
    })),
    next: typeof metadata.continue === 'string' && metadata.continue !== '' ? metadata.continue : null,
    remaining: typeof metadata.remainingItemCount === 'number' ? metadata.remainingItemCount : null,
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

function itemsOf(list: Record<string, unknown>, field = 'items'): Record<string, unknown>[] {
  const items = list[field];
  if (!Array.isArray(items)) throw strange(`its answer has no ${field}`);
  return items.filter(isRecord);
}

function strange(what: string): ClusterError {
  return new ClusterError('NOT_KUBERNETES', `the cluster does not answer as a Kubernetes API server does: ${what}`);
}

/** What a server calls a text may be anything. */
function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}
