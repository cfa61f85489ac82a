import { ClusterError } from '../../kubernetes/cluster-error.ts';
import { describeCredential } from '../../kubernetes/kubeconfig/describe.ts';
import { type ContextReading, chooseContext, type KubeconfigReading } from '../../kubernetes/kubeconfig/kubeconfig.ts';
import { readKubeconfigOffThread, TooManyKubeconfigs } from '../../kubernetes/kubeconfig/reader.ts';
import type { KubeconfigPolicy, Target } from '../../kubernetes/kubeconfig/target.ts';
import { type Caller, limitKeyOf } from '../access/caller.ts';
import { requireViewer } from '../access/permissions.ts';
import { tooMany } from '../access/throttle.ts';
import { resetStatus } from '../cluster-status.ts';
import { DomainError, type InputIssue } from '../errors.ts';
import { isStorable, storableTime, UNSTORABLE } from '../storable.ts';

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
 * How a credential is verified before it is stored: not at all (NONE), by parsing the kubeconfig (SYNTAX), or also by a call
 * to the API server (CONNECT).
 */
export const VERIFICATIONS = ['NONE', 'SYNTAX', 'CONNECT'] as const;
export type Verification = (typeof VERIFICATIONS)[number];

/** Returns SYNTAX if `verify` is absent. Adds an issue for null. */
export function validateVerification(verify: Verification | null | undefined, issues: InputIssue[]): Verification {
  if (verify === null) issues.push({ path: ['verify'], message: 'cannot be null: omit it for SYNTAX' });
  return verify ?? 'SYNTAX';
}

export interface KubeconfigInput {
  readonly text: string;
  /** The context to use. Default: the current context, or else the only one. */
  readonly context?: string | null | undefined;
}

export interface CredentialInput {
  readonly kubeconfig?: KubeconfigInput | null | undefined;
  readonly inCluster?: boolean | null | undefined;
}

/** The columns of a cluster that describe its credential. They contain no secret. */
export interface CredentialFacts {
  readonly credentialKind: CredentialKind;
  readonly credentialExpiresAt: Date | null;
  readonly caExpiresAt: Date | null;
  readonly credentialProblem: string | null;
  readonly apiServer: string | null;
}

/** A parsed credential: the kubeconfig text to seal, its target if it is usable, and the facts to store beside it. */
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
 * Parses a kubeconfig from a caller. An unusable one is an issue with SYNTAX and CONNECT; with NONE the text is kept
 * unchanged and `facts.credentialProblem` contains the reason.
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
  const isContextProblem = context != null && reading.contexts && !('name' in chosen);
  issues.push({ path: [...path, isContextProblem ? 'context' : 'text'], message: chosen.problem });
  return undefined;
}

/**
 * Parses a kubeconfig for a caller. Throws TOO_MANY_ATTEMPTS if too many kubeconfigs of this caller are being parsed, and
 * UNAVAILABLE if too many of all callers are.
 */
export async function readGivenKubeconfig(
  caller: Caller,
  text: string,
  policy: KubeconfigPolicy,
): Promise<KubeconfigReading> {
  try {
    return await readKubeconfigOffThread(text, policy, limitKeyOf(requireViewer(caller)));
  } catch (error) {
    if (!(error instanceof TooManyKubeconfigs)) throw error;
    if (error.isCallerLimit) throw tooMany(1, `${error.message}: wait for one of them`);
    throw new DomainError('UNAVAILABLE', 'Too many kubeconfigs are being read right now: try again later');
  }
}

/** The credential of one context. If no context could be chosen, it keeps the whole kubeconfig text. */
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

/** Returns the target of a credential. Throws a ClusterError with the reason if it has none. */
export function targetOf({ target, facts }: ReadCredential): Target {
  if (target) return target;
  throw new ClusterError('CREDENTIAL_UNUSABLE', facts.credentialProblem ?? 'the kubeconfig cannot be used');
}

/** The columns to set for a new credential: resets everything that was observed with the old one. */
export function resetForNewCredential(facts: CredentialFacts, { enabled, at }: { enabled: boolean; at: Date }) {
  return {
    ...facts,
    ...resetStatus({ enabled, problem: facts.credentialProblem, at }),
    inCluster: facts.credentialKind === 'IN_CLUSTER',
    ...{ version: null, discoveredPrometheusURL: null },
  };
}
