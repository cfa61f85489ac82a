import { chooseContext, type KubeconfigReading } from '../../kubernetes/kubeconfig/kubeconfig.ts';
import { readKubeconfigOffThread, TooManyKubeconfigs } from '../../kubernetes/kubeconfig/reader.ts';
import type { KubeconfigPolicy } from '../../kubernetes/kubeconfig/target.ts';
import { type Caller, limitKeyOf } from '../access/caller.ts';
import { requireViewer } from '../access/permissions.ts';
import { tooMany } from '../access/throttle.ts';
import { DomainError, type InputIssue } from '../errors.ts';
import { isStorable, UNSTORABLE } from '../storable.ts';
import { type Credential, credentialOf, IN_CLUSTER_CREDENTIAL, MISSING_CREDENTIAL } from './credential.ts';

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

/** At most one field is set. */
export interface CredentialInput {
  readonly kubeconfig?: KubeconfigInput | null | undefined;
  /** `false` returns a cluster to its stored kubeconfig. */
  readonly inCluster?: boolean | null | undefined;
}

interface KubeconfigInput {
  readonly text: string;
  /** The context to use. Default: the current context, or else the only one. */
  readonly context?: string | null | undefined;
}

interface ParseOptions {
  readonly verify: Verification;
  readonly policy: KubeconfigPolicy;
  /** Receives the problems of the input. */
  readonly issues: InputIssue[];
}

/**
 * Parses the credential of an input: undefined if the input has none, `STORED` if it is the stored kubeconfig of the cluster.
 * An unusable kubeconfig is an issue with SYNTAX and CONNECT; with NONE its text is kept unchanged.
 */
export async function parseCredential(
  caller: Caller,
  input: CredentialInput | null | undefined,
  { verify, policy, issues }: ParseOptions,
): Promise<Credential | 'STORED' | undefined> {
  const { kubeconfig, inCluster } = input ?? {};
  if (inCluster) return IN_CLUSTER_CREDENTIAL;
  if (!kubeconfig) return inCluster === false ? 'STORED' : undefined;
  const { text, context } = kubeconfig;
  const issue = (field: string, message: string) =>
    void issues.push({ path: ['credential', 'kubeconfig', field], message });
  if (!isStorable(text)) return issue('text', UNSTORABLE);
  const reading = await parseKubeconfig(caller, text, policy);
  const chosen = chooseContext(reading, context ?? undefined);
  if (chosen.problem === undefined || verify === 'NONE') return credentialOf(chosen, text);
  const isContextProblem = context != null && reading.contexts && !('name' in chosen);
  return issue(isContextProblem ? 'context' : 'text', chosen.problem);
}

/** Parses the credential of a cluster that has no stored one. An absent credential is an issue, except with NONE. */
export async function parseNewCredential(
  caller: Caller,
  input: CredentialInput | null | undefined,
  options: ParseOptions,
): Promise<Credential> {
  const credential = await parseCredential(caller, input, options);
  if (!input?.inCluster && !input?.kubeconfig && options.verify !== 'NONE')
    options.issues.push({ path: ['credential'], message: 'is required: set kubeconfig or inCluster: true' });
  return typeof credential === 'object' ? credential : MISSING_CREDENTIAL;
}

/**
 * Parses a kubeconfig for a caller. Throws TOO_MANY_ATTEMPTS if too many kubeconfigs of this caller are being parsed, and
 * UNAVAILABLE if too many of all callers are.
 */
export async function parseKubeconfig(
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
