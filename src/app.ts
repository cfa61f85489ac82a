import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Config } from './config.ts';
import { loadSeal, openCoreServices } from './core-services.ts';
import { OpenId } from './domain/accounts/open-id/open-id.ts';
import { Sessions } from './domain/accounts/sessions.ts';
import { SetUp } from './domain/accounts/set-up.ts';
import { ClusterChanges } from './domain/clusters/cluster-changes.ts';
import { ClusterImport } from './domain/clusters/cluster-import.ts';
import { ClusterList } from './domain/clusters/cluster-list.ts';
import { Clusters } from './domain/clusters/clusters.ts';
import { CredentialStore } from './domain/credentials/credential-store.ts';
import { ClusterProbes } from './domain/probing/cluster-probes.ts';
import { Fleet } from './domain/probing/fleet.ts';
import { ProbeSlots } from './domain/probing/probe-slots.ts';
import { Statuses } from './domain/probing/statuses.ts';
import { Sizes } from './domain/sizes.ts';
import type { Services } from './graphql/context.ts';
import { createGraphQL } from './graphql/yoga.ts';
import { type DescriptorShares, shareDescriptors } from './kubernetes/transport/descriptors.ts';
import type { Logger } from './log.ts';
import { connectionShares } from './server/connection-guard.ts';
import { createHttpServer, type HttpLimits } from './server/http.ts';
import { openKiteUi } from './server/kite-ui.ts';
import { listen } from './server/listen.ts';
import type { MemoryBudget } from './server/memory-budget.ts';
import { Metrics } from './server/metrics.ts';
import { createMetricsServer } from './server/metrics-server.ts';
import { ChangeNotifier } from './storage/change-notifier.ts';
import type { Seal } from './storage/seal.ts';

/** The domain services over an open database. */
export interface Domain extends Services {
  readonly seal: Seal;
  readonly credentials: CredentialStore;
  readonly metrics: Metrics;
  readonly descriptors: DescriptorShares;
  readonly close: () => Promise<void>;
}

/** Opens the database and the key ring under the data directory, and builds the domain over them. */
export async function openDomain(config: Config, log: Logger): Promise<Domain> {
  const core = await openCoreServices(config.database, { isServer: true });
  const { database, now, visible, roles, limits, auditLog, users, apiKeys } = core;
  try {
    for (const sentence of database.warnings) log.warn(sentence);
    const { seal, warning } = await loadSeal(config, database);
    if (warning) log.warn(warning);
    const sessions = new Sessions({ database, roles, limits, audit: auditLog, now });
    const { policy, inCluster } = config;
    const registry = { database, policy, now, audit: auditLog, ownChanges: new Set<number>() };
    const credentials = new CredentialStore({ database, seal, policy, inCluster });
    const changeNotifier = new ChangeNotifier(database);
    const slots = new ProbeSlots({ leases: database.leases });
    const statuses = new Statuses({ database, slots });
    const metrics = new Metrics();
    const descriptors = shareDescriptors();
    const onProbe = (state: string, latencyMs: number) => metrics.probe(state, latencyMs);
    const fleet = new Fleet({
      registry,
      credentials,
      visible,
      statuses,
      slots,
      changeNotifier,
      log,
      descriptors,
      onProbe,
    });
    metrics.follow({
      clusters: () => statuses.sample(),
      connections: () => fleet.connections,
      slots: () => slots.size,
    });
    return {
      ...{ database, seal, credentials, metrics, descriptors, apiKeys, roles, users, auditLog },
      sizes: new Sizes({ database }),
      sessions,
      setUp: new SetUp({ database, users, audit: auditLog, seal }),
      openId: new OpenId({ providers: config.openId, database, seal, roles, sessions, audit: auditLog, log, now }),
      clusters: new Clusters({ registry, credentials, fleet }),
      clusterList: new ClusterList({ database, visible }),
      clusterImport: new ClusterImport({ registry, credentials, fleet }),
      clusterChanges: new ClusterChanges({ database, changeNotifier, visible }),
      statuses,
      fleet,
      clusterProbes: new ClusterProbes({ registry, credentials, fleet }),
      close: async () => {
        await fleet.close();
        await database.close();
      },
    };
  } catch (error) {
    await database.close();
    throw error;
  }
}

/**
 * A listening server. `url` is its address, such as `http://127.0.0.1:8080`. `close` waits for open requests, then
 * closes the database.
 */
export interface App {
  readonly url: string;
  readonly close: () => Promise<void>;
}

/**
 * An App that can stop listening before it closes: `retire` waits for open requests and hands its clusters over to
 * other replicas.
 */
export interface RetirableApp extends App {
  readonly retire: () => Promise<void>;
}

/** Serves the domain over HTTP. */
export async function serve(
  config: Config,
  log: Logger,
  domain: Domain,
  { limits, memory }: { limits?: Partial<HttpLimits>; memory?: MemoryBudget } = {},
): Promise<RetirableApp> {
  const shutdown = new AbortController();
  const server: Server = createHttpServer({
    ending: shutdown.signal,
    config,
    log,
    metrics: domain.metrics,
    ui: config.kiteUiDir === undefined ? undefined : await openKiteUi(config.kiteUiDir),
    limits: { ...connectionShares(domain.descriptors.callers), ...limits },
    memory,
    authenticators: { apiKeys: domain.apiKeys, sessions: domain.sessions, loopback: config.loopback },
    services: domain,
    graphql: createGraphQL({ log }),
  });
  const stop = await listen(server, config);
  const { address, family, port } = server.address() as AddressInfo;
  let retiring: Promise<unknown> | undefined;
  const retire = async () => {
    shutdown.abort();
    // Retire the fleet at once, so that other replicas take over probing while the last requests still run.
    retiring ??= Promise.all([stop(), domain.fleet.retire()]);
    await retiring;
  };
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${port}`,
    retire,
    close: async () => {
      await retire();
      await domain.close();
    },
  };
}

/** Serves the metrics on a separate address. Returns a function that stops the server. */
export async function serveMetrics(config: Config, log: Logger, { metrics }: Domain): Promise<() => Promise<void>> {
  return listen(
    createMetricsServer(metrics, { log, ...config.metrics, allowedHosts: config.allowedHosts }),
    config.metrics,
    'METRICS_HOST',
    'METRICS_PORT',
  );
}
