import { type DescribedCredential, describeCredential } from '../../kubernetes/kubeconfig/describe.ts';
import type { ContextReading } from '../../kubernetes/kubeconfig/kubeconfig.ts';
import type { Target } from '../../kubernetes/kubeconfig/target.ts';
import { resetStatus } from '../cluster-status.ts';
import { storableTime } from '../storable.ts';

export const CREDENTIAL_KINDS = [
  'TOKEN',
  'CLIENT_CERTIFICATE',
  'TOKEN_AND_CERTIFICATE',
  'IN_CLUSTER',
  'NONE',
  'UNUSABLE',
] as const;
export type CredentialKind = (typeof CREDENTIAL_KINDS)[number];

/**
 * A parsed credential: the service account of the pod that Kitestring runs in, a kubeconfig with its target, or a credential
 * that cannot be used, with the reason. `kubeconfig` is the text to seal. `apiServer` is a URL without credentials.
 */
export type Credential =
  | { readonly kind: 'IN_CLUSTER'; readonly kubeconfig?: undefined; readonly apiServer?: undefined }
  | {
      readonly kind: 'KUBECONFIG';
      readonly kubeconfig: string;
      readonly apiServer?: string | undefined;
      readonly target: Target;
      readonly described?: DescribedCredential | undefined;
    }
  | {
      readonly kind: 'UNUSABLE';
      readonly kubeconfig?: string | undefined;
      readonly apiServer?: string | undefined;
      readonly problem: string;
    };

export const IN_CLUSTER_CREDENTIAL: Credential = { kind: 'IN_CLUSTER' };

export const MISSING_CREDENTIAL: Credential = {
  kind: 'UNUSABLE',
  problem: 'no kubeconfig is stored for this cluster: update it with one, or set inCluster',
};

export const UNDECRYPTABLE =
  'the stored kubeconfig cannot be decrypted: update the cluster with a new one, or run `kitestring seal verify` to find the cause';

/** The credential of a cluster with a sealed kubeconfig that does not open: its key is lost, or its row is damaged. */
export const UNDECRYPTABLE_CREDENTIAL: Credential = { kind: 'UNUSABLE', problem: UNDECRYPTABLE };

/** The credential of one context. If no context could be chosen, it keeps the whole kubeconfig text. */
export function credentialOf(chosen: ContextReading | { problem: string }, text: string): Credential {
  if (!('kubeconfig' in chosen)) return { kind: 'UNUSABLE', kubeconfig: text, problem: chosen.problem };
  const { kubeconfig, apiServer, target, described, problem } = chosen;
  if (!target) return { kind: 'UNUSABLE', kubeconfig, apiServer, problem };
  return { kind: 'KUBECONFIG', kubeconfig, apiServer, target, described };
}

/** Why the credential cannot be used; null if it can. */
export function problemOf(credential: Credential): string | null {
  return credential.kind === 'UNUSABLE' ? credential.problem : null;
}

/** The columns of a cluster that describe its credential. They contain no secret. */
export function columnsOf(credential: Credential) {
  const { kind, expiresAt, caExpiresAt } = describe(credential);
  return {
    inCluster: credential.kind === 'IN_CLUSTER',
    credentialKind: kind,
    credentialExpiresAt: expiresAt ? storableTime(expiresAt) : null,
    caExpiresAt: caExpiresAt ? storableTime(caExpiresAt) : null,
    credentialProblem: problemOf(credential),
    apiServer: credential.apiServer ?? null,
  };
}

/** The columns to set for a new credential: resets everything that was observed with the old one. */
export function columnsOfNew(credential: Credential, { enabled, at }: { enabled: boolean; at: Date }) {
  return {
    ...columnsOf(credential),
    ...resetStatus({ enabled, problem: problemOf(credential), at }),
    ...{ version: null, discoveredPrometheusURL: null },
  };
}

function describe(credential: Credential): { kind: CredentialKind; expiresAt?: Date; caExpiresAt?: Date } {
  if (credential.kind !== 'KUBECONFIG') return { kind: credential.kind };
  return credential.described ?? describeCredential(credential.target);
}
