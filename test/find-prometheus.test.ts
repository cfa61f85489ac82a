import { expect, it } from 'vitest';
import { findPrometheus } from '../src/kubernetes/api/find-prometheus.ts';
import { Connection } from '../src/kubernetes/transport/connection.ts';
import { onTestFinished } from './support/running-test.ts';
import { answerWith, standIn } from './support/stand-in.ts';

interface Service {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly ports: readonly object[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly clusterIP?: string;
}

/** Whether a selector of the forms `key=value` and `key in (a,b)`, joined by commas, matches labels. */
function matches(selector: string, labels: Readonly<Record<string, string>>): boolean {
  const parts = selector.match(/[^,(]+(?:\([^)]*\))?/g) ?? [];
  return parts.every((part) => {
    const [, key = '', list = ''] = /^(\S+) in \((.*)\)$/.exec(part) ?? /^([^=]+)=(.*)$/.exec(part) ?? [];
    return list.split(',').includes(labels[key] ?? '');
  });
}

/** Searches a cluster with these Services in the namespace `monitoring`. */
async function search(...services: readonly Service[]): Promise<string | undefined> {
  const { target } = await standIn((request, response) => {
    const selector = new URL(request.url ?? '', 'http://x').searchParams.get('labelSelector') ?? '';
    const items = services
      .filter(({ labels }) => matches(selector, labels))
      .map(({ name, labels, annotations, ports, clusterIP }) => ({
        metadata: { name, namespace: 'monitoring', labels, annotations },
        spec: { ports, clusterIP },
      }));
    answerWith(response, 200, { items: items.length > 0 ? items : null });
  });
  const connection = new Connection({ target: target(), policy: { allowLoopback: true } });
  onTestFinished(() => connection.close());
  return findPrometheus(connection);
}

const of = (name: string, more: object = {}) => ({ 'app.kubernetes.io/name': name, ...more });
const component = (value: string) => ({ 'app.kubernetes.io/component': value });

it.each<[string, Service, string]>([
  [
    'kube-prometheus',
    { name: 'prometheus-k8s', labels: of('prometheus', component('prometheus')), ports: [{ name: 'web', port: 9090 }] },
    'http://prometheus-k8s.monitoring.svc:9090',
  ],
  [
    'the Prometheus chart',
    { name: 'prometheus-server', labels: of('prometheus', component('server')), ports: [{ name: 'http', port: 80 }] },
    'http://prometheus-server.monitoring.svc:80',
  ],
  [
    'rancher-monitoring',
    {
      name: 'rancher-monitoring-prometheus',
      labels: { app: 'rancher-monitoring-prometheus' },
      ports: [{ name: 'http-web', port: 9090 }],
    },
    'http://rancher-monitoring-prometheus.monitoring.svc:9090',
  ],
  [
    'Bitnami',
    {
      name: 'kp-prometheus',
      labels: of('kube-prometheus', component('prometheus')),
      ports: [{ name: 'http', port: 9090 }],
    },
    'http://kp-prometheus.monitoring.svc:9090',
  ],
  [
    'VictoriaMetrics',
    { name: 'vmsingle', labels: of('vmsingle'), ports: [{ name: 'http', port: 8428 }] },
    'http://vmsingle.monitoring.svc:8428',
  ],
  [
    'OpenShift',
    {
      name: 'thanos-querier',
      labels: of('thanos-query', { 'app.kubernetes.io/part-of': 'openshift-monitoring', ...component('query-layer') }),
      annotations: { 'service.beta.openshift.io/serving-cert-secret-name': 'thanos-querier-tls' },
      ports: [{ name: 'web', port: 9091 }],
    },
    'https://thanos-querier.monitoring.svc:9091',
  ],
])('finds the Prometheus of %s', async (_, service, url) => {
  expect(await search(service)).toBe(url);
});

it('prefers the server to its other components, to headless Services and to the sidecar of Thanos', async () => {
  const web = [{ name: 'web', port: 9090 }];
  const services: Service[] = [
    { name: 'a-operated', labels: of('prometheus'), ports: web, clusterIP: 'None' },
    { name: 'a-thanos-sidecar', labels: of('prometheus'), ports: web },
    { name: 'a-exporter', labels: of('prometheus', component('metrics-exporter')), ports: web },
    {
      name: 'z-server',
      labels: of('prometheus', component('server')),
      ports: [{ name: 'grpc', port: 10_901 }, ...web],
    },
  ];
  expect(await search(...services)).toBe('http://z-server.monitoring.svc:9090');
});

it.each([
  [{ name: 'web', port: 9090, appProtocol: 'https' }, 'https'],
  [{ name: 'https', port: 9090, appProtocol: 'http' }, 'http'],
  [{ name: 'https-web', port: 9090 }, 'https'],
  [{ port: 443 }, 'https'],
  [{ port: 9090 }, 'http'],
])('takes the scheme from the port %j', async (port, scheme) => {
  expect(await search({ name: 'p', labels: of('prometheus'), ports: [port] })).toMatch(new RegExp(`^${scheme}:`));
});

it('finds nothing in a cluster without Services, and ignores malformed ones', async () => {
  expect(await search()).toBeUndefined();
  expect(await search({ name: '../x', labels: of('prometheus'), ports: [{ port: 9090 }] })).toBeUndefined();
  expect(await search({ name: 'p', labels: of('prometheus'), ports: 'none' as never })).toBeUndefined();
});
