import { createAuthority } from './certificates.ts';

/**
 * The marker in the secrets of these kubeconfigs: tests search for it in every output that must not contain secrets.
 */
export const canary = 'kite-canary';

const authority = createAuthority('kubernetes');
const client = authority.issue({ commonName: 'kubernetes-admin', organization: 'system:masters', client: true });

/** An unsigned token as long as a service account's token, with the canary at both ends. */
export const token = [`${canary}eyJhbGciOiJSUzI1NiJ9`, segment({ exp: 4102444800, pad: 'x'.repeat(300) }), canary].join(
  '.',
);

export const certificates = { authority, client };

/** Kubeconfigs as the distributions write them, including comments, order and spelling. */
export const usable = {
  kind: `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: ${base64(authority.certificate)}
    server: https://10.89.0.4:6443
  name: kind-kind
contexts:
- context:
    cluster: kind-kind
    user: kind-kind
  name: kind-kind
current-context: kind-kind
kind: Config
preferences: {}
users:
- name: kind-kind
  user:
    client-certificate-data: ${base64(client.certificate)}
    client-key-data: ${base64(client.key)}
`,
  minikube: `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: ${base64(authority.certificate)}
    extensions:
    - extension:
        last-update: Tue, 18 Nov 2025 09:12:44 CET
        provider: minikube.sigs.k8s.io
        version: v1.37.0
      name: cluster_info
    server: https://192.168.49.2:8443
  name: minikube
contexts:
- context:
    cluster: minikube
    extensions:
    - extension:
        last-update: Tue, 18 Nov 2025 09:12:44 CET
        provider: minikube.sigs.k8s.io
        version: v1.37.0
      name: context_info
    namespace: default
    user: minikube
  name: minikube
current-context: minikube
kind: Config
users:
- name: minikube
  user:
    client-certificate-data: ${base64(client.certificate)}
    client-key-data: ${base64(client.key)}
`,
  k3s: `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: ${base64(authority.certificate)}
    server: https://k3s.internal:6443
  name: default
contexts:
- context:
    cluster: default
    user: default
  name: default
current-context: default
kind: Config
preferences: {}
users:
- name: default
  user:
    client-certificate-data: ${base64(client.certificate + authority.certificate)}
    client-key-data: ${base64(client.key)}
`,
  Rancher: `apiVersion: v1
kind: Config
clusters:
- name: "prod"
  cluster:
    server: "https://rancher.example.org/k8s/clusters/c-m-8xk2v7qd"
    certificate-authority-data: "${wrapped(authority.certificate)}"

users:
- name: "prod"
  user:
    token: "kubeconfig-u-mo773yttt4:${token}"


contexts:
- name: "prod"
  context:
    user: "prod"
    cluster: "prod"

current-context: "prod"
`,
  OpenShift: `apiVersion: v1
clusters:
- cluster:
    server: https://api.ocp.example.org:6443
  name: api-ocp-example-org:6443
contexts:
- context:
    cluster: api-ocp-example-org:6443
    namespace: my-project
    user: kube:admin/api-ocp-example-org:6443
  name: my-project/api-ocp-example-org:6443/kube:admin
current-context: my-project/api-ocp-example-org:6443/kube:admin
kind: Config
preferences: {}
users:
- name: kube:admin/api-ocp-example-org:6443
  user:
    token: sha256~${canary}
`,
  AKS: `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: ${base64(authority.certificate)}
    server: https://prod-dns-0a1b2c3d.hcp.westeurope.azmk8s.io:443
  name: prod
contexts:
- context:
    cluster: prod
    user: clusterUser_group_prod
  name: prod
current-context: prod
kind: Config
preferences: {}
users:
- name: clusterUser_group_prod
  user:
    client-certificate-data: ${base64(client.certificate)}
    client-key-data: ${base64(client.key)}
    token: ${token}
`,
  'Docker Desktop': `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: ${base64(authority.certificate)}
    server: https://kubernetes.docker.internal:6443
  name: docker-desktop
contexts:
- context:
    cluster: docker-desktop
    user: docker-desktop
  name: docker-desktop
current-context: docker-desktop
kind: Config
preferences: {}
users:
- name: docker-desktop
  user:
    client-certificate-data: ${base64(client.certificate)}
    client-key-data: ${base64(client.key)}
`,
};

/** Kubeconfigs with a user that runs a command. */
export const needingCommand = {
  EKS: `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: ${base64(authority.certificate)}
    server: https://0123456789ABCDEF0123456789ABCDEF.gr7.eu-central-1.eks.amazonaws.com
  name: arn:aws:eks:eu-central-1:123456789012:cluster/prod
contexts:
- context:
    cluster: arn:aws:eks:eu-central-1:123456789012:cluster/prod
    user: arn:aws:eks:eu-central-1:123456789012:cluster/prod
  name: arn:aws:eks:eu-central-1:123456789012:cluster/prod
current-context: arn:aws:eks:eu-central-1:123456789012:cluster/prod
kind: Config
preferences: {}
users:
- name: arn:aws:eks:eu-central-1:123456789012:cluster/prod
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      args:
      - --region
      - eu-central-1
      - eks
      - get-token
      - --cluster-name
      - ${canary}
      - --output
      - json
      command: aws
      env:
      - name: AWS_PROFILE
        value: ${canary}
`,
  GKE: `apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: ${base64(authority.certificate)}
    server: https://203.0.113.7
  name: gke_project_europe-west3_prod
contexts:
- context:
    cluster: gke_project_europe-west3_prod
    user: gke_project_europe-west3_prod
  name: gke_project_europe-west3_prod
current-context: gke_project_europe-west3_prod
kind: Config
preferences: {}
users:
- name: gke_project_europe-west3_prod
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      command: gke-gcloud-auth-plugin
      installHint: Install gke-gcloud-auth-plugin for use with kubectl
      provideClusterInfo: true
`,
};

/** A kubeconfig of one context with these fields, as JSON, which is also YAML. */
export function kubeconfig(fields: { cluster?: object; user?: object; context?: object; root?: object } = {}): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server: 'https://10.0.0.1:6443', ...fields.cluster } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', ...fields.context } }],
    users: [{ name: 'u', user: fields.user ?? { token } }],
    'current-context': 'x',
    ...fields.root,
  });
}

/** A kubeconfig of `size` contexts, each with its own cluster and user, all with one authority. */
export function fleetKubeconfig(size: number): string {
  const numbers = Array.from({ length: size }, (_, index) => index);
  const authorityData = base64(authority.certificate);
  return [
    'apiVersion: v1\nkind: Config\ncurrent-context: cluster-0\nclusters:\n',
    ...numbers.map(
      (n) =>
        `- cluster:\n    certificate-authority-data: ${authorityData}\n    server: https://cluster-${n}.internal:6443\n  name: cluster-${n}\n`,
    ),
    'contexts:\n',
    ...numbers.map((n) => `- context:\n    cluster: cluster-${n}\n    user: user-${n}\n  name: cluster-${n}\n`),
    'users:\n',
    ...numbers.map((n) => `- name: user-${n}\n  user:\n    token: ${token}-${n}\n`),
  ].join('');
}

/** A kubeconfig of these contexts, each with its own cluster and user, at addresses where no server listens. */
export function contexts(names: string[], root: object = {}): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: names.map((name) => ({ name: `${name}-cluster`, cluster: { server: 'https://127.0.0.1:1' } })),
    contexts: names.map((name) => ({ name, context: { cluster: `${name}-cluster`, user: `${name}-user` } })),
    users: names.map((name) => ({ name: `${name}-user`, user: { token: `token-of-${name}` } })),
    ...root,
  });
}

export function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

function wrapped(text: string): string {
  return base64(text).replace(/.{64}(?=.)/g, '$&\\\n      ');
}

function segment(data: object): string {
  return Buffer.from(JSON.stringify(data)).toString('base64url');
}
