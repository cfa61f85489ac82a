import { ClusterError } from '../../kubernetes/cluster-error.ts';
import {
  type ContextReading,
  chooseContext,
  describeCredential,
  type KubeconfigPolicy,
  type KubeconfigReading,
  type Target,
} from '../../kubernetes/kubeconfig.ts';
import { readKubeconfigAside, TooManyKubeconfigs } from '../../kubernetes/kubeconfig-reader.ts';
import { requireViewer } from '../access/permissions.ts';
import { tooMany } from '../access/throttle.ts';
import { type Caller, limitKeyOf } from '../access/viewer.ts';
import { DomainError, type InputIssue } from '../errors.ts';
import { isStorable, storableTime, UNSTORABLE } from '../storable.ts';
import { resetStatus } from './cluster.ts';

export const CREDENTIAL_KINDS = [
  'TOKEN',
  'CLIENT_CERTIFICATE',
  'TOKEN_AND_CERTIFICATE',
  'IN_CLUSTER',
  'NONE',
  'UNUSABLE',
] as const;
export type CredentialKind = (typeof CREDENTIAL_KINDS)[number];

/** How much is looked at before a credential is stored. */
export const VERIFICATIONS = ['NONE', 'SYNTAX', 'CONNECT'] as const;
export type Verification = (typeof VERIFICATIONS)[number];

/** How much is to be looked at, SYNTAX when absent; null is an issue. */
export function validateVerification(verify: Verification | null | undefined, issues: InputIssue[]): Verification {
  if (verify === null) issues.push({ path: ['verify'], message: 'cannot be null: leave it out for SYNTAX' });
  return verify ?? 'SYNTAX';
}

export interface KubeconfigInput {
  readonly text: string;
  /** The context to take; else the current one, else the only one. */
  readonly context?: string | null | undefined;
}

export interface CredentialInput {
  readonly kubeconfig?: KubeconfigInput | null | undefined;
  readonly inCluster?: boolean | null | undefined;
}

/** What the cluster's row tells of its credential: nothing that opens anything. */
export interface CredentialFacts {
  readonly credentialKind: CredentialKind;
  readonly credentialExpiresAt: Date | null;
  readonly caExpiresAt: Date | null;
  readonly credentialProblem: string | null;
  readonly apiServer: string | null;
}

/** A kubeconfig as it is sealed, its target if it can be used, and what may be told of it. */
export interface ReadCredential {
  readonly kubeconfig: string;
  readonly target?: Target;
  readonly facts: CredentialFacts;
}

export const IN_CLUSTER_CREDENTIAL: CredentialFacts = {
  credentialKind: 'IN_CLUSTER',
  credentialExpiresAt: null,
  caExpiresAt: null,
  credentialProblem: null,
  apiServer: null,
};

export const MISSING_CREDENTIAL: CredentialFacts = {
  credentialKind: 'UNUSABLE',
  credentialExpiresAt: null,
  caExpiresAt: null,
  credentialProblem: 'no kubeconfig is stored for this cluster: update it with one, or set inCluster',
  apiServer: null,
};

/**
 * Reads a kubeconfig that somebody hands in. With SYNTAX and CONNECT one that cannot be used becomes an issue; with NONE it is kept
 * as it came, and its facts say why it cannot be used.
 */
export async function readCredential(
  caller: Caller,
  { text, context }: KubeconfigInput,
  {
    verify,
    policy,
    path,
    issues,
  }: { verify: Verification; policy: KubeconfigPolicy; path: string[]; issues: InputIssue[] },
): Promise<ReadCredential | undefined> {
  if (!isStorable(text)) {
    issues.push({ path: [...path, 'text'], message: UNSTORABLE });
    return undefined;
  }
  const reading = await readGivenKubeconfig(caller, text, policy);
  const chosen = chooseContext(reading, context ?? undefined);
  if (chosen.problem === undefined || verify === 'NONE') return credentialOf(chosen, text);
  const isOfContext = context != null && reading.contexts && !('name' in chosen);
  issues.push({ path: [...path, isOfContext ? 'context' : 'text'], message: chosen.problem });
  return undefined;
}

/**
 * Reads a kubeconfig at the request of a caller. Throws TOO_MANY_ATTEMPTS while too many of the caller's kubeconfigs are
 * being read, and UNAVAILABLE while too many of all callers are.
 */
export async function readGivenKubeconfig(
  caller: Caller,
  text: string,
  policy: KubeconfigPolicy,
): Promise<KubeconfigReading> {
  try {
    return await readKubeconfigAside(text, policy, limitKeyOf(requireViewer(caller)));
  } catch (error) {
    if (!(error instanceof TooManyKubeconfigs)) throw error;
    if (error.isOfCaller) throw tooMany(1, `${error.message}: wait for one of them`);
    throw new DomainError('UNAVAILABLE', 'Too many kubeconfigs are being read right now: try again later');
  }
}

/** The credential of one context; one that could not even be chosen keeps the whole text. */
export function credentialOf(chosen: ContextReading | { problem: string }, text: string): ReadCredential {
  const apiServer = 'apiServer' in chosen ? (chosen.apiServer ?? null) : null;
  const kubeconfig = 'kubeconfig' in chosen ? chosen.kubeconfig : text;
  if (!('target' in chosen) || !chosen.target)
    return {
      kubeconfig,
      facts: {
        credentialKind: 'UNUSABLE',
        credentialExpiresAt: null,
        caExpiresAt: null,
        credentialProblem: chosen.problem ?? null,
        apiServer,
      },
    };
  const { kind, expiresAt, caExpiresAt } = chosen.described ?? describeCredential(chosen.target);
  return {
    kubeconfig,
    target: chosen.target,
    facts: {
      credentialKind: kind,
      credentialExpiresAt: expiresAt ? storableTime(expiresAt) : null,
      caExpiresAt: caExpiresAt ? storableTime(caExpiresAt) : null,
      credentialProblem: null,
      apiServer,
    },
  };
}

/** Returns the target of a credential; a ClusterError says why it has none. */
export function targetOf({ target, facts }: ReadCredential): Target {
  if (target) return target;
  throw new ClusterError('CREDENTIAL_UNUSABLE', facts.credentialProblem ?? 'the kubeconfig cannot be used');
}

/** What a new credential makes of a cluster's row: whatever was seen under the old one is gone. */
export function resetForNewCredential(facts: CredentialFacts, { enabled, at }: { enabled: boolean; at: Date }) {
  return {
    ...facts,
    ...resetStatus({ enabled, problem: facts.credentialProblem, at }),
    inCluster: facts.credentialKind === 'IN_CLUSTER',
    ...{ version: null, discoveredPrometheusURL: null },
  };
}
