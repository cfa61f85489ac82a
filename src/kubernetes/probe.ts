import { ClusterError, type Fault, ResourceError, refusalOf } from './cluster-error.ts';
import { type Call, type Connection, objectOf } from './connection.ts';
import type { ApiResponse } from './response-collector.ts';

/** Milliseconds that one attempt may use up in all (docs/architecture.md). */
export const PROBE_BUDGET_MS = 5_000;
/** Bytes of one answer to a probe: a verbose readiness of a hundred checks is 8 KiB. */
const MAX_ANSWER_BYTES = 256 * 1024;
/** Failing checks that a result names. */
const MAX_CHECKS = 32;

/** The states that an attempt can find a cluster in. */
export type ProbeState = 'READY' | 'DEGRADED' | 'UNAUTHORIZED' | 'UNREACHABLE';

/** What an attempt found. */
export interface ProbeResult {
  readonly state: ProbeState;
  /** Set when it was asked for and told. */
  readonly version?: string;
  /** The UID of kube-system; null where the credential may not read it; absent when it was not asked for. */
  readonly identity?: string | null;
  /** Milliseconds until the first answer; where none came, until that was known. */
  readonly latencyMs: number;
  readonly fault?: Fault;
}

/** How an attempt is made; without a signal nothing but its budget ends it. */
export interface ProbeOptions {
  /** Whether to ask for version and identity too. */
  details: boolean;
  signal?: AbortSignal | undefined;
  budgetMs?: number;
}

/** Tries a cluster once and tells its state as docs/architecture.md has it; throws a ResourceError, and any error that is a bug. */
export async function probe(connection: Connection, options: ProbeOptions): Promise<ProbeResult> {
  const { details, signal, budgetMs = PROBE_BUDGET_MS } = options;
  const { server } = connection;
  const begin = performance.now();
  let latencyMs: number | undefined;
  const ask = async (path: string, call: Call = {}): Promise<ApiResponse> => {
    const timeoutMs = Math.max(1, Math.ceil(budgetMs - (performance.now() - begin)));
    const answer = await connection.call(path, { signal, timeoutMs, maxBytes: MAX_ANSWER_BYTES, ...call });
    latencyMs ??= performance.now() - begin;
    return answer;
  };
  const end = (state: ProbeState, more: Omit<ProbeResult, 'state' | 'latencyMs'> = {}): ProbeResult => {
    return { state, latencyMs: latencyMs ?? performance.now() - begin, ...more };
  };
  try {
    const readiness = await askReadiness(ask, server);
    const refusal = await askWho(ask, connection);
    if (refusal) return end('UNAUTHORIZED', { fault: faultFrom(refusal) });
    const found = details ? await askDetails(ask) : {};
    // A credential that may not read /readyz is a narrow one, and no fault of the cluster.
    if (isSuccess(readiness) || readiness.status === 403) return end('READY', found);
    const failingChecks = failingChecksOf(readiness);
    const named = failingChecks.length > 0 ? `: ${failingChecks.join(', ')}` : ` (${readiness.status})`;
    const fault: Fault = { code: 'NOT_READY', message: `${server} says that it is not ready${named}` };
    return end('DEGRADED', { ...found, fault });
  } catch (error) {
    if (!(error instanceof ClusterError) || error instanceof ResourceError) throw error;
    return end(error.code === 'UNAUTHORIZED' ? 'UNAUTHORIZED' : 'UNREACHABLE', { fault: faultFrom(error) });
  }
}

type Ask = (path: string, call?: Call) => Promise<ApiResponse>;

/** The answer of /readyz, or of /healthz where that is not known: older than Kubernetes 1.16. */
async function askReadiness(ask: Ask, server: string): Promise<ApiResponse> {
  const accept = 'text/plain, */*';
  const readyz = await ask('/readyz?verbose', { accept });
  const answer = readyz.status === 404 ? await ask('/healthz', { accept }) : readyz;
  const { status } = answer;
  if (isSuccess(answer) || status === 403 || status === 429 || status >= 500) return answer;
  if (status === 401) throw refusalOf(status, server);
  throw stranger(server, `its readiness answers ${status}`);
}

const reviews = [
  { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' },
  // Kubernetes before 1.28: whether it says yes or no, it knows who asks.
  {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { nonResourceAttributes: { path: '/version', verb: 'get' } },
  },
];

/** Asks the API server whom it takes us for, which needs no rights; gives the refusal when that is nobody. */
async function askWho(ask: Ask, connection: Connection): Promise<ClusterError | undefined> {
  const { server } = connection;
  for (const review of reviews) {
    const path = `/apis/${review.apiVersion}/${review.kind.toLowerCase()}s`;
    const answer = await ask(path, { method: 'POST', body: review });
    if (answer.status === 404) continue;
    if (answer.status === 401) return refusalOf(401, server);
    const object = objectOf(answer);
    if (answer.status === 403 && object?.kind === 'Status') {
      // A 403 is said to a user; the API server names the one it means.
      const isNobody = !connection.hasCredential || String(object.message).includes('"system:anonymous"');
      return isNobody ? nobody(connection) : undefined;
    }
    if (answer.status === 429 || answer.status >= 500) throw refusalOf(answer.status, server);
    if (!isSuccess(answer) || object?.kind !== review.kind) throw stranger(server, `it answers with no ${review.kind}`);
    return userOf(object) === 'system:anonymous' ? nobody(connection) : undefined;
  }
  throw stranger(server, 'it has none of its review APIs');
}

function stranger(server: string, why: string): ClusterError {
  return new ClusterError('NOT_KUBERNETES', `${server} is not a Kubernetes API server: ${why}`);
}

function nobody({ server, hasCredential }: Connection): ClusterError {
  const why = hasCredential
    ? 'sees no credential: does something on the way take it off?'
    : 'wants to know who asks, and the kubeconfig has no credential';
  return new ClusterError('UNAUTHORIZED', `${server} ${why}`);
}

/** The version and the UID of kube-system; a part that cannot be had is no fault of the cluster, nor of the other. */
async function askDetails(ask: Ask): Promise<Pick<ProbeResult, 'version' | 'identity'>> {
  const none = (error: unknown) => {
    if (!(error instanceof ClusterError)) throw error;
    return {};
  };
  const version = await askVersion(ask).catch(none);
  return { ...version, ...(await askIdentity(ask).catch(none)) };
}

async function askVersion(ask: Ask): Promise<Pick<ProbeResult, 'version'>> {
  const version = objectOf(await ask('/version'))?.gitVersion;
  return typeof version === 'string' && /^[\x21-\x7e]{1,64}$/.test(version) ? { version } : {};
}

async function askIdentity(ask: Ask): Promise<Pick<ProbeResult, 'identity'>> {
  const accept = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1, application/json';
  const answer = await ask('/api/v1/namespaces/kube-system', { accept });
  if (answer.status === 403 || answer.status === 404) return { identity: null };
  const identity = isSuccess(answer) ? uidOf(objectOf(answer)?.metadata) : undefined;
  return identity === undefined ? {} : { identity };
}

function uidOf(metadata: unknown): string | undefined {
  const uid = typeof metadata === 'object' && metadata !== null && 'uid' in metadata ? metadata.uid : undefined;
  return typeof uid === 'string' && /^[\w-]{1,64}$/.test(uid) ? uid : undefined;
}

function userOf(review: Record<string, unknown>): unknown {
  const { userInfo } = (review.status ?? {}) as { userInfo?: { username?: unknown } };
  return userInfo?.username;
}

// `[-]etcd failed: reason withheld`, a line for each check (k8s.io/apiserver, server/healthz).
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
