import type { ConnectionTestResult } from '../../kubernetes/connection-test.ts';
import { chooseContext, type KubeconfigPolicy } from '../../kubernetes/kubeconfig.ts';
import type { Transaction } from '../../storage/database.ts';
import type { Caller } from '../access/viewer.ts';
import { DomainError, type InputIssue } from '../errors.ts';
import { testConnection } from './cluster-probes.ts';
import {
  type CredentialFacts,
  type CredentialInput,
  credentialOf,
  IN_CLUSTER_CREDENTIAL,
  MISSING_CREDENTIAL,
  type ReadCredential,
  readCredential,
  readGivenKubeconfig,
  targetOf,
  type Verification,
} from './credential.ts';
import type { Fleet } from './fleet.ts';
import { type ChangeContext, openKubeconfig, storeKubeconfig } from './registry-change.ts';

/** What an input says of the credential. */
export interface CredentialChange {
  readonly inCluster: boolean;
  readonly leavesCluster: boolean;
  readonly read: ReadCredential | undefined;
  /** The stored kubeconfig that a cluster goes back to; undefined where none is stored. */
  readonly stored?: ReadCredential | undefined;
}

/** Reads what an input says of the credential; what is wrong with it becomes an issue. */
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

/** Reads the kubeconfig that is stored for a cluster, before the transaction that goes back to it. */
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

/** Asks the API server before anything is stored. */
export async function verifyCredentialChange(
  { inCluster, leavesCluster, read, stored }: CredentialChange,
  fleet: Pick<Fleet, 'testConnection' | 'inCluster'>,
): Promise<ConnectionTestResult | undefined> {
  if (inCluster && !read) return testConnection(fleet, () => fleet.inCluster());
  const credential = read ?? (leavesCluster ? (stored ?? { kubeconfig: '', facts: MISSING_CREDENTIAL }) : undefined);
  return credential && testConnection(fleet, async () => ({ target: targetOf(credential) }));
}

/** Stores a given credential; answers with the new facts when it differs from what stands. */
export async function storeCredentialChange(
  tx: Transaction,
  registry: ChangeContext,
  current: { id: number; uid: string; inCluster: boolean; credentialProblem: string | null },
  { inCluster, leavesCluster, read, stored }: CredentialChange,
): Promise<CredentialFacts | undefined> {
  if (inCluster) return current.inCluster ? undefined : IN_CLUSTER_CREDENTIAL;
  if (read) {
    const present = await openKubeconfig(tx, registry, current);
    const same =
      present === read.kubeconfig && !current.inCluster && current.credentialProblem === read.facts.credentialProblem;
    if (same) return undefined;
    await storeKubeconfig(tx, registry, current, read.kubeconfig);
    return read.facts;
  }
  if (!leavesCluster || !current.inCluster) return undefined;
  const present = await openKubeconfig(tx, registry, current);
  if (present === undefined) return MISSING_CREDENTIAL;
  // It was read before the transaction, which must not wait for that.
  if (present !== stored?.kubeconfig)
    throw new DomainError('UNAVAILABLE', 'The kubeconfig of the cluster was replaced just now: try again');
  return stored.facts;
}
