import { chooseContext, type KubeconfigPolicy, readKubeconfig, type Target } from '../../kubernetes/kubeconfig.ts';
import type { Trial } from '../../kubernetes/trial.ts';
import type { Transaction } from '../../storage/database.ts';
import type { InputIssue } from '../errors.ts';
import { tryOut } from './cluster-probes.ts';
import {
  type CredentialFacts,
  type CredentialInput,
  credentialOf,
  IN_CLUSTER,
  MISSING,
  type ReadCredential,
  readCredential,
  type Verification,
} from './credential.ts';
import { type Fleet, targetOf } from './fleet.ts';
import { openKubeconfig, type Registry, storeKubeconfig } from './registry.ts';

/** What an input says of the credential. */
export interface Given {
  readonly inCluster: boolean;
  readonly leavesCluster: boolean;
  readonly read: ReadCredential | undefined;
}

/** Reads what an input says of the credential; what is wrong with it becomes an issue. */
export async function readGiven(
  input: CredentialInput | null | undefined,
  { verify, policy, issues }: { verify: Verification; policy: KubeconfigPolicy; issues: InputIssue[] },
): Promise<Given> {
  const { kubeconfig, inCluster } = input ?? {};
  const path = ['credential', 'kubeconfig'];
  const read = kubeconfig ? await readCredential(kubeconfig, { verify, policy, path, issues }) : undefined;
  return { inCluster: inCluster === true, leavesCluster: inCluster === false, read };
}

/** Asks the API server before anything is stored; `stored` is where the present kubeconfig leads, for one that goes back to it. */
export async function tryGiven(
  { inCluster, leavesCluster, read }: Given,
  registry: Registry,
  fleet: Pick<Fleet, 'try' | 'inCluster'>,
  stored?: () => Promise<Target>,
): Promise<Trial | undefined> {
  if (read) return tryOut(fleet, async () => ({ target: targetOf(read.kubeconfig, registry) }));
  if (inCluster) return tryOut(fleet, () => fleet.inCluster());
  return leavesCluster && stored ? tryOut(fleet, async () => ({ target: await stored() })) : undefined;
}

/** Stores a given credential; answers with the new facts when it differs from what stands. */
export async function changeCredential(
  tx: Transaction,
  registry: Registry,
  current: { id: number; uid: string; inCluster: boolean; credentialProblem: string | null },
  { inCluster, leavesCluster, read }: Given,
): Promise<CredentialFacts | undefined> {
  if (inCluster) return current.inCluster ? undefined : IN_CLUSTER;
  if (read) {
    const stored = await openKubeconfig(tx, registry, current);
    const same =
      stored === read.kubeconfig && !current.inCluster && current.credentialProblem === read.facts.credentialProblem;
    if (same) return undefined;
    await storeKubeconfig(tx, registry, current, read.kubeconfig);
    return read.facts;
  }
  if (!leavesCluster || !current.inCluster) return undefined;
  const stored = await openKubeconfig(tx, registry, current);
  if (stored === undefined) return MISSING;
  return credentialOf(chooseContext(readKubeconfig(stored, registry.policy)), stored).facts;
}
