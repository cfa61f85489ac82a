import type { V1Service, V1ServicePort } from '@kubernetes/client-node';
import type { ClusterClient } from '../transport/call-slots.ts';
import { readList } from './objects.ts';

/**
 * Labels that charts and operators set on the Service of a Prometheus or of a server with its API, the best first, and
 * the path of the API:
 * kube-prometheus, the Prometheus chart and Bitnami (app.kubernetes.io/name and component), kube-prometheus-stack and
 * rancher-monitoring (app), OpenShift (its Thanos querier, which serves the metrics of the whole cluster),
 * VictoriaMetrics single node, and VictoriaMetrics cluster (its vmselect serves tenant 0 under a path).
 */
const SELECTORS: readonly (readonly [selector: string, path: string])[] = [
  ['app.kubernetes.io/part-of=openshift-monitoring,app.kubernetes.io/name=thanos-query', ''],
  ['app.kubernetes.io/name in (prometheus,kube-prometheus)', ''],
  [
    'app in (kube-prometheus-stack-prometheus,rancher-monitoring-prometheus,prometheus-operator-prometheus,prometheus)',
    '',
  ],
  ['operated-prometheus=true', ''],
  ['app.kubernetes.io/name in (victoria-metrics-single,vmsingle)', ''],
  ['app.kubernetes.io/name=vmselect', '/select/0/prometheus'],
  ['app=vmselect', '/select/0/prometheus'],
];
/** Names of the port that serves the API, the best first. A sidecar of Thanos has others, such as `grpc`. */
const PORT_NAMES = ['web', 'http-web', 'https-web', 'http', 'https', 'tcp-metrics'];
/** Ports that Prometheus, OpenShift's proxy in front of it, and VictoriaMetrics serve their API on by default. */
const KNOWN_PORTS = [9090, 9091, 8428, 8481, 80, 443];
/** Components of a Prometheus installation that do not serve its API. */
const OTHER_COMPONENTS =
  /alertmanager|exporter|operator|pushgateway|adapter|node|state-metrics|sidecar|discovery|storegateway|compactor|ruler|receive/;
const MAX_SERVICES = 20;
const MAX_BYTES = 2 * 1024 * 1024;
const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * Returns the URL of the Service that looks most like the cluster's Prometheus; undefined if there is none. Throws a
 * ClusterError if Services cannot be read.
 */
export async function findPrometheus(client: ClusterClient): Promise<string | undefined> {
  for (const [selector, path] of SELECTORS) {
    const parameters = new URLSearchParams({ labelSelector: selector, limit: String(MAX_SERVICES) });
    const { items } = await readList(client, `/api/v1/services?${parameters}`, {
      ...{ field: 'items', maxItems: MAX_SERVICES, maxBytes: MAX_BYTES, valueBytes: 0 },
      pick: (service) => service as V1Service,
    });
    const [best] = items.flatMap(candidatesOf).sort((a, b) => b.rank - a.rank || a.url.localeCompare(b.url));
    if (best) return best.url + path;
  }
  return undefined;
}

/** A Service that may be the Prometheus: its URL, and how much it looks like one. */
function candidatesOf({ metadata, spec }: V1Service): { url: string; rank: number }[] {
  const { name = '', namespace = '', labels, annotations } = metadata ?? {};
  const port = portOf(spec?.ports);
  if (!port || !Number.isInteger(port.port) || !NAME.test(name) || !NAME.test(namespace)) return [];
  const component = labels?.['app.kubernetes.io/component'] ?? '';
  if (OTHER_COMPONENTS.test(component)) return [];
  const isHeadless = spec?.clusterIP === 'None';
  const rank =
    (['prometheus', 'server', 'query-layer'].includes(component) ? 8 : 0) +
    (isHeadless ? 0 : 4) +
    (KNOWN_PORTS.includes(port.port) ? 2 : 0) +
    (OTHER_COMPONENTS.test(name) ? 0 : 16);
  const scheme = isHttps(port, annotations) ? 'https' : 'http';
  return [{ url: `${scheme}://${name}.${namespace}.svc:${port.port}`, rank }];
}

function portOf(ports: unknown): V1ServicePort | undefined {
  if (!Array.isArray(ports)) return undefined;
  const list = ports.filter((port): port is V1ServicePort => typeof port === 'object' && port !== null);
  const named = PORT_NAMES.map((name) => list.find((port) => port.name === name)).find((port) => port !== undefined);
  return named ?? list.find(({ port }) => KNOWN_PORTS.includes(port)) ?? list[0];
}

/** OpenShift's annotation for a certificate that its service CA issues, which means that the Service speaks TLS. */
const SERVING_CERTIFICATE = 'service.beta.openshift.io/serving-cert-secret-name';

function isHttps({ name, appProtocol, port }: V1ServicePort, annotations: unknown): boolean {
  if (appProtocol) return /^https$/i.test(String(appProtocol));
  const hasCertificate = typeof annotations === 'object' && annotations !== null && SERVING_CERTIFICATE in annotations;
  return /^https/.test(String(name ?? '')) || port === 443 || hasCertificate;
}
