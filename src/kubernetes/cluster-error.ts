import { closeSync, openSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { devNull, type NetworkInterfaceInfo, networkInterfaces } from 'node:os';

/** Every reason why a cluster did not answer as asked; callers tell them apart by these. */
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
  'CLOSED',
  'CANCELLED',
  'UNKNOWN',
] as const;
export type FaultCode = (typeof FAULT_CODES)[number];

/** What is wrong with a cluster: a stable code, and one sentence for a person that holds no secret. */
export interface Fault {
  readonly code: FaultCode;
  readonly message: string;
}

/** A failed call to a cluster. It has no cause: the errors below it quote what a hostile server sent. */
export class ClusterError extends Error implements Fault {
  override readonly name = 'ClusterError';
  readonly code: FaultCode;

  constructor(code: FaultCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** A call that failed because Kitestring itself lacks something: it says nothing of the cluster, whose status stays. */
export class ResourceError extends ClusterError {
  constructor(what: string) {
    super('OUT_OF_RESOURCES', `Kitestring could not call the cluster: ${what}; try again later`);
  }
}

/** What an error of the transport needs to become a sentence. */
export interface ErrorContext {
  /** The URL as the target has it: without user info. */
  readonly server: string;
  /** Whether the target names an authority; else the well-known ones count. */
  readonly ownAuthority?: boolean;
  /** The name that the certificate has to be for, where it is not the URL's. */
  readonly tlsServerName?: string | undefined;
}

const lost = (server: string) => `${server} ended the connection before it had answered`;
const timedOut = (server: string) => `${server} did not answer in time`;
const noRoute = (server: string) => `there is no route to ${server}`;
const unknownName = (server: string) => `the name of ${server} cannot be resolved`;
const garbled = (server: string) => `${server} does not speak HTTP as a Kubernetes API server does`;
const wrongCA = (server: string, { ownAuthority }: ErrorContext) =>
  ownAuthority
    ? `the certificate of ${server} is not signed by the given CA`
    : `the certificate of ${server} is not signed by a CA that everybody trusts: give its CA in certificate-authority-data`;
const wrongName = (server: string, { tlsServerName }: ErrorContext) =>
  `the certificate of ${server} is for another name${tlsServerName === undefined ? '' : ` than ${tlsServerName}`}`;

type Sentence = (server: string, circumstances: ErrorContext) => string;

// Node's codes (system errors, OpenSSL's verification results in lib/internal/tls, its HTTP parser) and undici's.
const known: Record<string, [FaultCode, Sentence]> = {
  ECONNREFUSED: ['REFUSED', (server) => `${server} refuses the connection: nothing listens there`],
  EHOSTUNREACH: ['NO_ROUTE', noRoute],
  ENETUNREACH: ['NO_ROUTE', noRoute],
  EHOSTDOWN: ['NO_ROUTE', noRoute],
  ENETDOWN: ['NO_ROUTE', noRoute],
  // Of IPv4 it is a lack of ports on our side; see resourceErrorOf.
  EADDRNOTAVAIL: ['NO_ROUTE', noRoute],
  EACCES: ['NO_ROUTE', noRoute],
  EPERM: ['NO_ROUTE', noRoute],
  ENOTFOUND: ['DNS', (server) => `the name of ${server} does not exist`],
  EAI_AGAIN: ['DNS', unknownName],
  EAI_FAIL: ['DNS', unknownName],
  EAI_NODATA: ['DNS', unknownName],
  EAI_NONAME: ['DNS', unknownName],
  ENODATA: ['DNS', unknownName],
  ETIMEDOUT: ['TIMED_OUT', timedOut],
  UND_ERR_CONNECT_TIMEOUT: ['TIMED_OUT', timedOut],
  UND_ERR_HEADERS_TIMEOUT: ['TIMED_OUT', timedOut],
  UND_ERR_BODY_TIMEOUT: ['TIMED_OUT', timedOut],
  ECONNRESET: ['CONNECTION_LOST', lost],
  ECONNABORTED: ['CONNECTION_LOST', lost],
  EPIPE: ['CONNECTION_LOST', lost],
  UND_ERR_SOCKET: ['CONNECTION_LOST', lost],
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: ['CONNECTION_LOST', lost],
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

/** Whatever was thrown while a cluster was asked, as the error of one of the codes; never quotes what the server sent. */
export function clusterErrorOf(error: unknown, circumstances: ErrorContext): ClusterError {
  if (error instanceof ClusterError) return error;
  const { server } = circumstances;
  const lack = resourceErrorOf(error);
  if (lack) return lack;
  // One error per address that was dialled (happy eyeballs): the first is of the address that the resolver prefers.
  if (error instanceof AggregateError && error.errors.length > 0) return clusterErrorOf(error.errors[0], circumstances);
  const code = codeOf(error);
  const [faultCode, sentence] = (Object.hasOwn(known, code) && known[code]) || [undefined];
  if (faultCode) return new ClusterError(faultCode, sentence(server, circumstances));
  if (error instanceof Error && error.name === 'HTTPParserError')
    return new ClusterError('NOT_KUBERNETES', garbled(server));
  if (/^(ERR_SSL_|ERR_TLS_|ERR_OSSL_|EPROTO$|INVALID_PURPOSE$|PATH_LENGTH_EXCEEDED$)|CERT|CRL/.test(code))
    return new ClusterError('TLS', `the TLS handshake with ${server} failed (${code})`);
  return new ClusterError('UNKNOWN', `asking ${server} failed${code === '' ? '' : ` (${code})`}`);
}

const lacks: Record<string, string> = {
  EMFILE: 'the limit of open files is reached, raise it with `ulimit -n`',
  ENFILE: 'this machine has no file descriptor left',
  ENOMEM: 'this machine has no memory left',
  ENOBUFS: 'this machine has no memory for sockets left',
  EAI_MEMORY: 'this machine has no memory left',
  EADDRNOTAVAIL: 'this machine has no local port left',
};

/** The ResourceError that an error of the transport stands for; undefined when it may tell something of the cluster. */
export function resourceErrorOf(error: unknown): ResourceError | undefined {
  if (error instanceof ResourceError) return error;
  if (error instanceof AggregateError) return error.errors.map(resourceErrorOf).find((lack) => lack !== undefined);
  const code = codeOf(error);
  // What getaddrinfo says when it could not open a socket to its name server.
  if (code === 'EAI_AGAIN' && !hasDescriptor()) return new ResourceError(`${lacks.EMFILE} (${code})`);
  if (!Object.hasOwn(lacks, code) || isWithoutIPv6(error, code)) return undefined;
  return new ResourceError(`${lacks[code]} (${code})`);
}

/** On a machine without IPv6 every IPv6 address is one that cannot be had. */
function isWithoutIPv6(error: unknown, code: string): boolean {
  if (code !== 'EADDRNOTAVAIL' || !(error instanceof Error) || !('address' in error)) return false;
  return isIPv6(String(error.address)) && !Object.values(networkInterfaces()).flat().some(isOutward);
}

function isOutward(network: NetworkInterfaceInfo | undefined): boolean {
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

/** The code and sentence of any error, for where there is no server to name. */
export function faultOf(error: unknown): Fault {
  const { code, message } = clusterErrorOf(error, { server: 'the cluster' });
  return { code, message };
}

/** The error of an answer that no Kubernetes API server gives. */
export function notKubernetes(what: string): ClusterError {
  return new ClusterError('NOT_KUBERNETES', `the cluster does not answer as a Kubernetes API server does: ${what}`);
}

/** The error of a call to a connection that has ended. */
export function connectionClosed(server: string): ClusterError {
  return new ClusterError('CLOSED', `the connection to ${server} was closed`);
}

/** An answer that is no 2xx as an error, by its status alone. */
export function refusalOf(status: number, server: string): ClusterError {
  const [code, what] = refusals[status] ?? refusals[Math.floor(status / 100)] ?? ['NOT_KUBERNETES', 'is strange'];
  return new ClusterError(code, `${server} ${what}`.replace('STATUS', String(status)));
}

const refusals: Record<number, [FaultCode, string]> = {
  400: ['INVALID_QUERY', 'takes the question for a wrong one (STATUS)'],
  401: ['UNAUTHORIZED', 'does not accept the credential'],
  403: ['FORBIDDEN', 'does not let this credential do that'],
  404: ['NOT_FOUND', 'has no such thing'],
  410: ['GONE', 'has forgotten where the list was to go on: begin anew'],
  422: ['INVALID_QUERY', 'takes the question for a wrong one (STATUS)'],
  429: ['SERVER_ERROR', 'has too much to do (STATUS)'],
  3: ['NOT_KUBERNETES', 'redirects elsewhere, which is never followed'],
  4: ['NOT_KUBERNETES', 'answered STATUS, which no Kubernetes API server does here'],
  5: ['SERVER_ERROR', 'answered STATUS'],
};

/** The `code` of an error when it is one of the words that Node and undici use. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const code: unknown = 'code' in error ? error.code : '';
  return typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,60}$/.test(code) ? code : '';
}
