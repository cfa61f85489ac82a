import { ClusterError, type Fault, ResourceError, statusErrorOf } from '../cluster-error.ts';
import type { Call } from '../transport/call.ts';
import type { Connection } from '../transport/connection.ts';
import { objectOf } from '../transport/json-object.ts';
import type { ApiResponse } from '../transport/response-collector.ts';

/** Time budget in milliseconds for the calls of a probe that determine the state (docs/architecture.md). */
export const PROBE_BUDGET_MS = 5_000;
/** Time budget in milliseconds for reading version and identity, after the state of the cluster is known. */
export const DETAILS_BUDGET_MS = 5_000;
/** Maximum bytes of one response to a probe: /readyz?verbose with a hundred checks is 8 KiB. */
const MAX_RESPONSE_BYTES = 256 * 1024;
/** Maximum failing checks that the fault lists. */
const MAX_CHECKS = 32;

/** The cluster states that a probe can determine. */
export type ProbeState = 'READY' | 'DEGRADED' | 'UNAUTHORIZED' | 'UNREACHABLE' | 'UNUSABLE';

export interface ProbeResult {
  readonly state: ProbeState;
  /** Present if it was requested and the API server reported it. */
  readonly version?: string;
  /**
   * UID of the namespace kube-system; null if it does not exist or the credential
   * may not read it; absent if not requested or unknown.
   */
  readonly identity?: string | null;
  /** Milliseconds until the first response, or until the probe failed without one. */
  readonly latencyMs: number;
  readonly fault?: Fault;
}

export interface ProbeOptions {
  /** Whether to read version and identity too. They are also read on a new socket: another cluster may listen there. */
  details: boolean;
  signal?: AbortSignal | undefined;
  budgetMs?: number;
}

/**
 * Probes a cluster once and determines its state (rules: docs/architecture.md).
 * Throws only a ResourceError, or an error that is a bug.
 */
export async function probe(connection: Connection, options: ProbeOptions): Promise<ProbeResult> {
  const { signal, budgetMs = PROBE_BUDGET_MS } = options;
  const begin = performance.now();
  let latencyMs: number | undefined;
  const callWithin = (endMs: number): CallApi => {
    return async (path, call = {}) => {
      const timeoutMs = Math.max(1, Math.ceil(endMs - performance.now()));
      const response = await connection.call(path, { signal, timeoutMs, maxBytes: MAX_RESPONSE_BYTES, ...call });
      latencyMs ??= performance.now() - begin;
      return response;
    };
  };
  const resultOf = (state: ProbeState, fields: Omit<ProbeResult, 'state' | 'latencyMs'> = {}): ProbeResult => {
    return { state, latencyMs: latencyMs ?? performance.now() - begin, ...fields };
  };
  try {
    const callApi = callWithin(begin + budgetMs);
    const refusal = await checkAuthentication(callApi, connection);
    if (refusal?.code === 'UNAUTHORIZED') return resultOf('UNAUTHORIZED', { fault: faultFrom(refusal) });
    const fault = refusal ? faultFrom(refusal) : await findReadinessFault(callApi, connection.server);
    const details = options.details || connection.hasNewSocket;
    const found = details ? await readDetails(callWithin(performance.now() + DETAILS_BUDGET_MS)) : {};
    if (found.identity !== undefined) connection.hasNewSocket = false;
    return fault ? resultOf('DEGRADED', { ...found, fault }) : resultOf('READY', found);
  } catch (error) {
    if (!(error instanceof ClusterError) || error instanceof ResourceError) throw error;
    return resultOf(error.code === 'UNAUTHORIZED' ? 'UNAUTHORIZED' : 'UNREACHABLE', { fault: faultFrom(error) });
  }
}

type CallApi = (path: string, call?: Call) => Promise<ApiResponse>;

/**
 * Reads /readyz, or /healthz from an API server before Kubernetes 1.16, which has no /readyz. Returns why the API server
 * is not ready; undefined if it is, or if its readiness is unknown: a gateway hides the endpoint, the credential may not
 * read it, or the time of the probe is over.
 */
async function findReadinessFault(callApi: CallApi, server: string): Promise<Fault | undefined> {
  const accept = 'text/plain, */*';
  try {
    const readyz = await callApi('/readyz?verbose', { accept });
    const response = readyz.status === 404 ? await callApi('/healthz', { accept }) : readyz;
    if (response.status < 500 && response.status !== 429) return undefined;
    const failing = failingChecksOf(response);
    const checks = failing.length > 0 ? `: ${failing.join(', ')}` : ` (${response.status})`;
    return { code: 'NOT_READY', message: `${server} reports that it is not ready${checks}` };
  } catch (error) {
    if (error instanceof ClusterError && error.code === 'TIMED_OUT') return undefined;
    throw error;
  }
}

const reviews = [
  { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
  // Kubernetes before 1.28. Both an allowed and a denied review prove that the API server authenticated the caller.
  {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { nonResourceAttributes: { path: '/version', verb: 'get' } },
  },
];

/**
 * Checks that the API server accepts the credential, which needs no permissions. Returns an error if it does not, and
 * one with another code than UNAUTHORIZED if it is too busy to say.
 */
async function checkAuthentication(callApi: CallApi, connection: Connection): Promise<ClusterError | undefined> {
  const { server } = connection;
  for (const review of reviews) {
    const path = `/apis/${review.apiVersion}/${review.kind.toLowerCase()}s`;
    const response = await callApi(path, { method: 'POST', body: review });
    if (response.status === 404) continue;
    if (METHOD_REFUSED.includes(response.status)) return checkByReading(callApi, connection);
    if (response.status === 401) return connection.statusError(401);
    if (response.status === 429) return statusErrorOf(429, server);
    const object = objectOf(response);
    if (response.status === 403 && object?.kind === 'Status') {
      // The message of a 403 names the user that the API server authenticated the request as.
      const isAnonymous = !connection.hasCredential || String(object.message).includes('"system:anonymous"');
      return isAnonymous ? anonymousError(connection) : undefined;
    }
    if (response.status >= 500) throw statusErrorOf(response.status, server);
    if (!isSuccess(response) || object?.kind !== review.kind)
      throw notAnApiServer(server, `it did not respond with a ${review.kind}`);
    return userOf(object) === 'system:anonymous' ? anonymousError(connection) : undefined;
  }
  throw notAnApiServer(server, 'it has none of the review APIs');
}

/** Statuses with which a gateway refuses every method but GET. */
const METHOD_REFUSED = [405, 501];

/** Like `checkAuthentication`, by a GET that every API server authenticates. */
async function checkByReading(callApi: CallApi, connection: Connection): Promise<ClusterError | undefined> {
  const { server } = connection;
  const response = await callApi('/api/v1/namespaces?limit=1');
  const object = objectOf(response);
  if (response.status === 401) return connection.statusError(401);
  if (response.status === 429) return statusErrorOf(429, server);
  if (isSuccess(response) && object?.kind === 'NamespaceList') return undefined;
  if (response.status !== 403 || object?.kind !== 'Status')
    throw notAnApiServer(server, 'it did not respond with a list of namespaces');
  const isAnonymous = !connection.hasCredential || String(object.message).includes('"system:anonymous"');
  return isAnonymous ? anonymousError(connection) : undefined;
}

function notAnApiServer(server: string, why: string): ClusterError {
  return new ClusterError('NOT_KUBERNETES', `${server} is not a Kubernetes API server: ${why}`);
}

function anonymousError(connection: Connection): ClusterError {
  const { server, hasCredential } = connection;
  // An API server treats an expired token as no token if it allows anonymous requests.
  if (connection.expired) return connection.statusError(401);
  const why = hasCredential
    ? 'received no credential: does a proxy remove it from requests?'
    : 'requires authentication, and the kubeconfig has no credential';
  return new ClusterError('UNAUTHORIZED', `${server} ${why}`);
}

/** Reads version and identity. A part that cannot be read is absent and does not change the state of the cluster. */
async function readDetails(callApi: CallApi): Promise<Pick<ProbeResult, 'version' | 'identity'>> {
  const absentIfUnreadable = (error: unknown) => {
    if (!(error instanceof ClusterError)) throw error;
    return {};
  };
  const version = await readVersion(callApi).catch(absentIfUnreadable);
  return { ...version, ...(await readIdentity(callApi).catch(absentIfUnreadable)) };
}

async function readVersion(callApi: CallApi): Promise<Pick<ProbeResult, 'version'>> {
  const version = objectOf(await callApi('/version'))?.gitVersion;
  return typeof version === 'string' && version !== '' ? { version: printable(version) } : {};
}

async function readIdentity(callApi: CallApi): Promise<Pick<ProbeResult, 'identity'>> {
  const accept = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json';
  const response = await callApi('/api/v1/namespaces/kube-system', { accept });
  if (response.status === 403 || response.status === 404) return { identity: null };
  const identity = isSuccess(response) ? uidOf(objectOf(response)?.metadata) : undefined;
  return identity === undefined ? {} : { identity };
}

/** Maximum characters of a version: the column's limit. */
const MAX_VERSION = 64;

/** Escapes and cuts a text that the server chose, so that it can be shown. */
function printable(text: string): string {
  const escaped = text
    .slice(0, MAX_VERSION)
    .replace(/[^\x20-\x7e]/g, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
  return escaped.length < text.length || escaped.length > MAX_VERSION
    ? `${escaped.slice(0, MAX_VERSION - 1)}…`
    : escaped;
}

function uidOf(metadata: unknown): string | undefined {
  const uid = typeof metadata === 'object' && metadata !== null && 'uid' in metadata ? metadata.uid : undefined;
  return typeof uid === 'string' && /^[\w-]{1,64}$/.test(uid) ? uid : undefined;
}

function userOf(review: Record<string, unknown>): unknown {
  const { userInfo } = (review.status ?? {}) as { userInfo?: { username?: unknown } };
  return userInfo?.username;
}

// The body has one line per check, such as `[-]etcd failed: reason withheld` (k8s.io/apiserver, server/healthz).
function failingChecksOf({ body }: ApiResponse): string[] {
  const names = Array.from(body.toString().matchAll(/^\[-\]([\w./-]{1,100}) /gm), ([, name = '']) => name);
  return names.slice(0, MAX_CHECKS);
}

function isSuccess({ status }: ApiResponse): boolean {
  return status >= 200 && status < 300;
}

function faultFrom({ code, message }: ClusterError): Fault {
  return { code, message };
}
