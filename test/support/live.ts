import type { RequestListener } from 'node:http';
import { vi } from 'vitest';
import type { Target } from '../../src/kubernetes/kubeconfig/target.ts';
import { findApiServers } from './api-servers.ts';
import { CLUSTERS, startApp, type TestApp } from './app.ts';
import { base64 } from './kubeconfigs.ts';
import { reportLeftOut } from './left-out.ts';
import { onTestFinished } from './running-test.ts';

/** A row of the REST list. */
export interface Listed {
  readonly id: number;
  readonly name: string;
  readonly version?: string;
  readonly error?: string;
}

/**
 * Starts a server that probes clusters in the background, with an empty registry; it is closed when the test finishes.
 */
export async function probingApp(environment: Record<string, string> = {}): Promise<TestApp> {
  const app = await startApp(environment, { probing: true });
  onTestFinished(() => app.close());
  return app;
}

/** Returns the program of the real API servers; if it is not available, reports the skipped tests and the reason. */
export async function binaryFor(what: string): Promise<string | undefined> {
  const found = await findApiServers();
  if ('binary' in found) return found.binary;
  reportLeftOut(`${what}: ${found.missing}`);
  return undefined;
}

/** A handler that blocks requests until `open` is called. */
export function gate(listener: RequestListener): { handler: RequestListener; open: () => void } {
  const opened = Promise.withResolvers<void>();
  return {
    handler: async (request, response) => {
      await opened.promise;
      listener(request, response);
    },
    open: opened.resolve,
  };
}

/** A kubeconfig of one context that points to a target. */
export function kubeconfigOf(target: Target, context = 'context'): string {
  return kubeconfigOfAll({ [context]: target });
}

/** A kubeconfig with a context for each target; the first is current. */
export function kubeconfigOfAll(targets: Record<string, Target>): string {
  const all = Object.entries(targets);
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: all.map(([name, { server, caData, tlsServerName }]) => ({
      name,
      cluster: {
        server,
        ...(caData && { 'certificate-authority-data': base64(caData) }),
        ...(tlsServerName && { 'tls-server-name': tlsServerName }),
      },
    })),
    users: all.map(([name, { token, clientCertificate }]) => ({
      name,
      user: {
        ...(token && { token }),
        ...(clientCertificate && {
          'client-certificate-data': base64(clientCertificate.certificate),
          'client-key-data': base64(clientCertificate.key),
        }),
      },
    })),
    contexts: all.map(([name, { namespace }]) => ({
      name,
      context: { cluster: name, user: name, ...(namespace && { namespace }) },
    })),
    'current-context': all[0]?.[0],
  });
}

/** Registers a cluster over REST and returns its id. */
export async function register(app: TestApp, name: string, config: string, fields: object = {}): Promise<number> {
  const { status, body } = await app.rest('POST', CLUSTERS, { name, config, ...fields });
  if (status !== 201) throw new Error(`${status}: ${body.error}`);
  return body.id;
}

/** Returns a cluster's row of the REST list. */
export async function listed(app: TestApp, id: number): Promise<Listed | undefined> {
  const { body } = await app.rest('GET', CLUSTERS);
  return (body as Listed[]).find((row) => row.id === id);
}

/** Waits until a cluster's row of the REST list matches, and returns it. */
export async function untilListed(
  app: TestApp,
  id: number,
  isWanted: (row: Listed) => boolean,
  timeout = 10_000,
): Promise<Listed> {
  return vi.waitUntil(
    async () => {
      const row = await listed(app, id);
      return row && isWanted(row) ? row : undefined;
    },
    { timeout, interval: 20 },
  );
}

export interface Status {
  readonly state: string;
  readonly since: string;
  readonly observedAt: string | null;
  readonly version: string | null;
  readonly latencyMs: number | null;
  readonly error: { code: string; message: string } | null;
}

/** Returns the status of a cluster from GraphQL. */
export async function statusOf(app: TestApp, databaseId: number): Promise<Status> {
  const { data } = await app.graphql(
    `query ($by: ClusterBy!) { cluster(by: $by) {
      status { state since observedAt version latencyMs error { code message } } } }`,
    { by: { databaseId } },
  );
  return data.cluster.status;
}

/** Waits until a cluster is in a state, and returns its status. */
export async function untilState(app: TestApp, id: number, state: string, timeout = 10_000): Promise<Status> {
  return vi.waitUntil(
    async () => {
      const status = await statusOf(app, id);
      return status.state === state ? status : undefined;
    },
    { timeout, interval: 20 },
  );
}
