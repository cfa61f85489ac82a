import { readFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import { ClusterError } from '../cluster-error.ts';
import type { TokenSource } from '../transport/connection.ts';
import type { Target } from './target.ts';

/** Mount path of a pod's service account (see client-go's rest.InClusterConfig and client-node's loadFromCluster). */
const SERVICE_ACCOUNT_DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount';
/**
 * Milliseconds until the token file is read again, since the kubelet rotates it in
 * place. client-go and client-node use one minute too.
 */
export const TOKEN_REUSE_MS = 60_000;
/** Ports for which client-node uses plain http, assuming a proxy in the same pod. */
const HTTP_PORTS = ['80', '8080', '8001'];

/** KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT, as the kubelet sets them in every pod. */
export interface InClusterEnvironment {
  readonly host: string | undefined;
  readonly port: string | undefined;
  readonly directory?: string | undefined;
}

/**
 * Returns the API server of the cluster that Kitestring runs in, and a
 * source of its service account's rotating token.
 */
export async function readInCluster(
  { host, port, directory = SERVICE_ACCOUNT_DIRECTORY }: InClusterEnvironment,
  now: () => number = () => performance.now(),
): Promise<{ target: Target; token: TokenSource }> {
  if (!host || !port)
    throw new ClusterError('NOT_IN_CLUSTER', 'Kitestring does not run in a Kubernetes cluster: provide a kubeconfig');
  const scheme = HTTP_PORTS.includes(port) ? 'http' : 'https';
  const server = `${scheme}://${isIPv6(host) ? `[${host}]` : host}:${port}`;
  if (!URL.canParse(server) || new URL(server).pathname !== '/')
    throw new ClusterError(
      'NOT_IN_CLUSTER',
      'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT do not form a valid URL',
    );
  const [token, caData, namespace] = await Promise.all([
    readToken(directory),
    readOptional(join(directory, 'ca.crt')),
    readOptional(join(directory, 'namespace')),
  ]);
  let last = { token, at: now() };
  return {
    target: {
      server,
      insecureSkipTlsVerify: false,
      ...(caData !== undefined && { caData }),
      ...(namespace !== undefined && { namespace: namespace.trim() }),
    },
    token: async () => {
      if (now() - last.at >= TOKEN_REUSE_MS) last = { token: await readToken(directory), at: now() };
      return last.token;
    },
  };
}

async function readToken(directory: string): Promise<string> {
  const token = (await readOptional(join(directory, 'token')))?.trim();
  if (token && /^[\x21-\x7e]+$/.test(token)) return token;
  throw new ClusterError('NOT_IN_CLUSTER', "the pod has no usable service account token: is it mounted ('automount')?");
}

async function readOptional(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch {
    return undefined;
  }
}
