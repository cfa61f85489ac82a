import { closeSync, openSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { devNull, type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { describeTlsError } from './tls-errors.ts';

/** All reasons why a call to a cluster can fail. API clients distinguish failures by these codes. */
const FAULT_CODES = [
  'ADDRESS_REFUSED',
  'DNS',
  'REFUSED',
  'NO_ROUTE',
  'TIMED_OUT',
  'CONNECTION_LOST',
  'PROXY',
  'TLS',
  'WRONG_CA',
  'CERTIFICATE_EXPIRED',
  'CERTIFICATE_NOT_YET_VALID',
  'WRONG_NAME',
  'CREDENTIAL_UNUSABLE',
  'NOT_IN_CLUSTER',
  'UNAUTHORIZED',
  'FORBIDDEN',
  'NOT_FOUND',
  'GONE',
  'INVALID_QUERY',
  'NOT_READY',
  'SERVER_ERROR',
  'NOT_KUBERNETES',
  'TOO_MANY_CALLS',
  'OUT_OF_RESOURCES',
  'DISABLED',
  'RESPONSE_TOO_LARGE',
  'TRUNCATED',
  'CLOSED',
  'CANCELLED',
  'UNKNOWN',
] as const;
export type FaultCode = (typeof FAULT_CODES)[number];

/** The reason why a call to a cluster failed: a stable code and one sentence for users, which contains no secret. */
export interface Fault {
  readonly code: FaultCode;
  readonly message: string;
}

/**
 * A failed call to a cluster. It has no `cause`, because low-level errors may quote text that a hostile server sent.
 */
export class ClusterError extends Error implements Fault {
  override readonly name = 'ClusterError';
  readonly code: FaultCode;

  constructor(code: FaultCode, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * A call that failed because this machine lacks a resource, such as
 * memory. It does not change the cluster's status.
 */
export class ResourceError extends ClusterError {
  constructor(what: string) {
    super('OUT_OF_RESOURCES', `Kitestring could not call the cluster: ${what}; try again later`);
  }
}

/** Details for the message of a transport error. */
export interface ErrorContext {
  /** The target's URL, without user info. */
  readonly server: string;
  /** Whether the target has its own CA; otherwise Node's default CAs apply. */
  readonly hasOwnCA?: boolean;
  /** The name that the certificate must contain, if it differs from the URL's host. */
  readonly tlsServerName?: string | undefined;
}

const connectionLost = (server: string) => `${server} closed the connection before it responded`;
const timedOut = (server: string) => `${server} did not respond in time`;
const noRoute = (server: string) => `there is no route to ${server}`;
const unknownName = (server: string) => `the host name of ${server} cannot be resolved`;
const invalidHttp = (server: string) => `${server} did not send a valid HTTP response`;
const wrongCA = (server: string, { hasOwnCA }: ErrorContext) =>
  hasOwnCA
    ? `the certificate of ${server} is not signed by the configured CA`
    : `the certificate of ${server} is not signed by a public CA: set certificate-authority-data to its CA`;
const wrongName = (server: string, { tlsServerName }: ErrorContext) =>
  `the certificate of ${server} is not valid for ${tlsServerName ?? 'its host name'}`;

type Sentence = (server: string, context: ErrorContext) => string;

// Node's codes (system errors, OpenSSL's verification results in lib/internal/tls, its HTTP parser) and undici's.
const transportErrors: Record<string, [FaultCode, Sentence]> = {
  ECONNREFUSED: ['REFUSED', (server) => `${server} refuses the connection: nothing listens there`],
  EHOSTUNREACH: ['NO_ROUTE', noRoute],
  ENETUNREACH: ['NO_ROUTE', noRoute],
  EHOSTDOWN: ['NO_ROUTE', noRoute],
  ENETDOWN: ['NO_ROUTE', noRoute],
  // Only for IPv6: for IPv4 it means that this machine has no free port, see resourceErrorOf.
  EADDRNOTAVAIL: ['NO_ROUTE', noRoute],
  EACCES: ['NO_ROUTE', noRoute],
  EPERM: ['NO_ROUTE', noRoute],
  ENOTFOUND: ['DNS', (server) => `the host name of ${server} does not exist`],
  EAI_AGAIN: ['DNS', unknownName],
  EAI_FAIL: ['DNS', unknownName],
  EAI_NODATA: ['DNS', unknownName],
  EAI_NONAME: ['DNS', unknownName],
  ENODATA: ['DNS', unknownName],
  ETIMEDOUT: ['TIMED_OUT', timedOut],
  UND_ERR_CONNECT_TIMEOUT: ['TIMED_OUT', timedOut],
  UND_ERR_HEADERS_TIMEOUT: ['TIMED_OUT', timedOut],
  UND_ERR_BODY_TIMEOUT: ['TIMED_OUT', timedOut],
  ECONNRESET: ['CONNECTION_LOST', connectionLost],
  ECONNABORTED: ['CONNECTION_LOST', connectionLost],
  EPIPE: ['CONNECTION_LOST', connectionLost],
  UND_ERR_SOCKET: ['CONNECTION_LOST', connectionLost],
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: ['CONNECTION_LOST', connectionLost],
  UND_ERR_HEADERS_OVERFLOW: ['RESPONSE_TOO_LARGE', (server) => `${server} sent headers that are too large`],
  UND_ERR_CLOSED: ['CLOSED', (server) => connectionClosed(server).message],
  UND_ERR_DESTROYED: ['CLOSED', (server) => connectionClosed(server).message],
  CERT_HAS_EXPIRED: ['CERTIFICATE_EXPIRED', (server) => `the certificate of ${server}, or of its CA, has expired`],
  CERT_NOT_YET_VALID: [
    'CERTIFICATE_NOT_YET_VALID',
    (server) => `the certificate of ${server}, or of its CA, is not valid yet: is a clock wrong?`,
  ],
  ERR_TLS_CERT_ALTNAME_INVALID: ['WRONG_NAME', wrongName],
  HOSTNAME_MISMATCH: ['WRONG_NAME', wrongName],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: ['WRONG_CA', wrongCA],
  UNABLE_TO_GET_ISSUER_CERT: ['WRONG_CA', wrongCA],
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: ['WRONG_CA', wrongCA],
  DEPTH_ZERO_SELF_SIGNED_CERT: ['WRONG_CA', wrongCA],
  SELF_SIGNED_CERT_IN_CHAIN: ['WRONG_CA', wrongCA],
  CERT_SIGNATURE_FAILURE: ['WRONG_CA', wrongCA],
  CERT_UNTRUSTED: ['WRONG_CA', wrongCA],
  CERT_REJECTED: ['WRONG_CA', wrongCA],
  INVALID_CA: ['WRONG_CA', wrongCA],
  ERR_SSL_WRONG_VERSION_NUMBER: ['TLS', (server) => `${server} does not speak TLS: is it plain http?`],
  ERR_SSL_PACKET_LENGTH_TOO_LONG: ['TLS', (server) => `${server} does not speak TLS: is it plain http?`],
};

/** Converts any error of a call to a cluster to a ClusterError. The message never quotes data that the server sent. */
export function clusterErrorOf(error: unknown, context: ErrorContext): ClusterError {
  if (error instanceof ClusterError) return error;
  const { server } = context;
  const resourceError = resourceErrorOf(error);
  if (resourceError) return resourceError;
  // Happy Eyeballs reports one error per dialled address; the first belongs to the address that the resolver prefers.
  if (error instanceof AggregateError && error.errors.length > 0) return clusterErrorOf(error.errors[0], context);
  const code = codeOf(error);
  const [faultCode, sentence] = (Object.hasOwn(transportErrors, code) && transportErrors[code]) || [undefined];
  if (faultCode) return new ClusterError(faultCode, sentence(server, context));
  if (error instanceof Error && error.name === 'HTTPParserError')
    return new ClusterError('NOT_KUBERNETES', invalidHttp(server));
  const tlsProblem = describeTlsError(code, error instanceof Error ? error.message : '', server);
  if (tlsProblem !== undefined) return new ClusterError('TLS', tlsProblem);
  return new ClusterError('UNKNOWN', `the call to ${server} failed${code === '' ? '' : ` (${code})`}`);
}

const resourceMessages: Record<string, string> = {
  EMFILE: 'the limit of open files is reached, raise it with `ulimit -n`',
  ENFILE: 'this machine has no file descriptors left',
  ENOMEM: 'this machine has no memory left',
  ENOBUFS: 'this machine has no socket buffers left',
  EAI_MEMORY: 'this machine has no memory left',
  EADDRNOTAVAIL: 'this machine has no local ports left',
};

/**
 * Returns the ResourceError for an error that this machine caused; undefined
 * if the cluster or the network may be the cause.
 */
export function resourceErrorOf(error: unknown): ResourceError | undefined {
  if (error instanceof ResourceError) return error;
  if (error instanceof AggregateError)
    return error.errors.map(resourceErrorOf).find((resourceError) => resourceError !== undefined);
  const code = codeOf(error);
  // getaddrinfo also fails with EAI_AGAIN if it cannot open a socket to the name server.
  if (code === 'EAI_AGAIN' && !hasDescriptor()) return new ResourceError(`${resourceMessages.EMFILE} (${code})`);
  if (!Object.hasOwn(resourceMessages, code) || isWithoutIPv6(error, code)) return undefined;
  return new ResourceError(`${resourceMessages[code]} (${code})`);
}

/** Whether EADDRNOTAVAIL only means that this machine has no IPv6: every IPv6 address then fails with that code. */
function isWithoutIPv6(error: unknown, code: string): boolean {
  if (code !== 'EADDRNOTAVAIL' || !(error instanceof Error) || !('address' in error)) return false;
  return isIPv6(String(error.address)) && !Object.values(networkInterfaces()).flat().some(isExternalIPv6);
}

function isExternalIPv6(network: NetworkInterfaceInfo | undefined): boolean {
  return network?.family === 'IPv6' && !network.internal;
}

function hasDescriptor(): boolean {
  try {
    closeSync(openSync(devNull, 'r'));
    return true;
  } catch {
    return false;
  }
}

/** Converts any error to a fault, with a message that does not name the server. */
export function faultOf(error: unknown): Fault {
  const { code, message } = clusterErrorOf(error, { server: 'the cluster' });
  return { code, message };
}

/** Creates the error for a response that no Kubernetes API server sends. */
export function notKubernetes(what: string): ClusterError {
  return new ClusterError('NOT_KUBERNETES', `the cluster did not respond like a Kubernetes API server: ${what}`);
}

/** Creates the error for a call on a closed connection. */
export function connectionClosed(server: string): ClusterError {
  return new ClusterError('CLOSED', `the connection to ${server} was closed`);
}

/** Creates the error for a response that is not 2xx. The message depends on the status only, not on the body. */
export function statusErrorOf(status: number, server: string): ClusterError {
  const [code, what] = errorsByStatus[status] ??
    errorsByStatus[Math.floor(status / 100)] ?? ['NOT_KUBERNETES', 'sent an unexpected response (HTTP STATUS)'];
  return new ClusterError(code, `${server} ${what}`.replace('STATUS', String(status)));
}

const errorsByStatus: Record<number, [FaultCode, string]> = {
  400: ['INVALID_QUERY', 'rejected the request as invalid (HTTP STATUS)'],
  401: ['UNAUTHORIZED', 'does not accept the credential'],
  403: ['FORBIDDEN', 'does not permit this credential to do that'],
  404: ['NOT_FOUND', 'does not have the requested resource'],
  410: ['GONE', 'no longer accepts the continue token, which has expired: restart the list'],
  422: ['INVALID_QUERY', 'rejected the request as invalid (HTTP STATUS)'],
  429: ['SERVER_ERROR', 'is overloaded (HTTP STATUS)'],
  3: ['NOT_KUBERNETES', 'sent a redirect, and redirects are never followed'],
  4: ['NOT_KUBERNETES', 'responded with HTTP STATUS, which a Kubernetes API server never sends here'],
  5: ['SERVER_ERROR', 'responded with HTTP STATUS'],
};

/** The `code` of an error if it looks like a code of Node or undici; otherwise the empty string. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const code: unknown = 'code' in error ? error.code : '';
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,60}$/.test(code) ? code : '';
}
