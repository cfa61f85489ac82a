import type { V1Service } from '@kubernetes/client-node';
import type { ClusterClient } from '../transport/call-slots.ts';
import { readObject } from './objects.ts';

// Labels that Helm charts and operators set on the Service. Prometheus, from kube-prometheus-stack and the Prometheus
// chart: app.kubernetes.io/name=prometheus, in older versions app=kube-prometheus-stack-prometheus. VictoriaMetrics
// single node: app.kubernetes.io/name. VictoriaMetrics cluster: its vmselect, labelled app.kubernetes.io/name by the
// operator and app by the chart, serves the Prometheus API of tenant 0 under a path.
const SELECTORS: readonly (readonly [selector: string, path: string])[] = [
  ['app.kubernetes.io/name=prometheus', ''],
  ['app in (kube-prometheus-stack-prometheus,prometheus-operator-prometheus,prometheus)', ''],
  ['app.kubernetes.io/name in (victoria-metrics-single,vmsingle)', ''],
  ['app.kubernetes.io/name=vmselect', '/select/0/prometheus'],
  ['app=vmselect', '/select/0/prometheus'],
];
const PORT_NAMES = ['web', 'http-web', 'http', 'https'];
const MAX_SERVICES = 20;
const MAX_BYTES = 2 * 1024 * 1024;
const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * Returns the URL of the Service that looks like the cluster's Prometheus; undefined if there is none. Throws a
 * ClusterError if Services cannot be read.
 */
export async function findPrometheus(client: ClusterClient): Promise<string | undefined> {
  for (const [selector, path] of SELECTORS) {
    const parameters = new URLSearchParams({ labelSelector: selector, limit: String(MAX_SERVICES) });
    const { items } = await readObject(client, `/api/v1/services?${parameters}`, MAX_BYTES);
    const services = Array.isArray(items) ? (items.slice(0, MAX_SERVICES) as V1Service[]) : [];
    const urls = services.flatMap(urlOf).sort();
    if (urls[0] !== undefined) return urls[0] + path;
  }
  return undefined;
}

function urlOf({ metadata, spec }: V1Service): string[] {
  const { name = '', namespace = '' } = metadata ?? {};
  const ports = spec?.ports ?? [];
  const port = ports.find((candidate) => PORT_NAMES.includes(candidate.name ?? '')) ?? ports[0];
  if (!port || !Number.isInteger(port.port) || !NAME.test(name) || !NAME.test(namespace)) return [];
  return [`${port.name === 'https' ? 'https' : 'http'}://${name}.${namespace}.svc:${port.port}`];
}
