import { chooseContext } from '../../kubernetes/kubeconfig/kubeconfig.ts';
import type { KubeconfigPolicy } from '../../kubernetes/kubeconfig/target.ts';
import type { Transaction } from '../../storage/database.ts';
import type { Caller } from '../access/caller.ts';
import { DomainError, type InputIssue } from '../errors.ts';
import type { ChangeContext } from '../registry-change.ts';
import {
  type CredentialFacts,
  type CredentialInput,
  credentialOf,
  IN_CLUSTER_CREDENTIAL,
  MISSING_CREDENTIAL,
  type ReadCredential,
  readCredential,
  readGivenKubeconfig,
  type Verification,
} from './credential.ts';
import { openKubeconfig, storeKubeconfig } from './stored-kubeconfig.ts';

/** The change of a cluster's credential that an input requests. */
export interface CredentialChange {
  readonly inCluster: boolean;
  /** The input sets `inCluster: false` without a kubeconfig: the cluster returns to its stored kubeconfig. */
  readonly leavesCluster: boolean;
  /** The kubeconfig of the input; undefined if it has none. */
  readonly read: ReadCredential | undefined;
  /** The stored kubeconfig, if `leavesCluster`; undefined if none is stored. */
  readonly stored?: ReadCredential | undefined;
}

/** Parses the credential of an input. Adds problems to `issues`. */
export async function parseCredentialChange(
  caller: Caller,
  input: CredentialInput | null | undefined,
  { verify, policy, issues }: { verify: Verification; policy: KubeconfigPolicy; issues: InputIssue[] },
): Promise<CredentialChange> {
  const { kubeconfig, inCluster } = input ?? {};
  const path = ['credential', 'kubeconfig'];
  const read = kubeconfig ? await readCredential(caller, kubeconfig, { verify, policy, path, issues }) : undefined;
  return { inCluster: inCluster === true, leavesCluster: inCluster === false && !read, read };
}

/** Reads the stored kubeconfig of a cluster. Call it before the transaction, which must not wait for the parser. */
export async function readStored(
  caller: Caller,
  registry: ChangeContext,
  cluster: { id: number; uid: string },
): Promise<ReadCredential | undefined> {
  const text = await openKubeconfig(registry.database.prisma, registry, cluster);
  if (text === undefined) return undefined;
  const reading = await readGivenKubeconfig(caller, text, registry.policy);
  return { ...credentialOf(chooseContext(reading), text), kubeconfig: text };
}

/** Stores the credential change. Returns the new facts; undefined if the credential is the same as before. */
export async function storeCredentialChange(
  tx: Transaction,
  registry: ChangeContext,
  current: { id: number; uid: string; inCluster: boolean; credentialProblem: string | null },
  { inCluster, leavesCluster, read, stored }: CredentialChange,
): Promise<CredentialFacts | undefined> {
  if (inCluster) return current.inCluster ? undefined : IN_CLUSTER_CREDENTIAL;
  if (read) {
    const storedText = await openKubeconfig(tx, registry, current);
    const isSame =
      storedText === read.kubeconfig &&
      !current.inCluster &&
      current.credentialProblem === read.facts.credentialProblem;
    if (isSame) return undefined;
    await storeKubeconfig(tx, registry, current, read.kubeconfig);
    return read.facts;
  }
  if (!leavesCluster || !current.inCluster) return undefined;
  const storedText = await openKubeconfig(tx, registry, current);
  if (storedText === undefined) return MISSING_CREDENTIAL;
  // `stored` was read before the transaction: it may have been replaced since.
  if (storedText !== stored?.kubeconfig)
    throw new DomainError('UNAVAILABLE', 'The kubeconfig of the cluster has just been replaced: try again');
  return stored.facts;
}
