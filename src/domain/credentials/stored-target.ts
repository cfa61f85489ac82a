import { ClusterError, ResourceError } from '../../kubernetes/cluster-error.ts';
import { chooseContext } from '../../kubernetes/kubeconfig/kubeconfig.ts';
import { readKubeconfigOffThread, TooManyKubeconfigs } from '../../kubernetes/kubeconfig/reader.ts';
import type { Target } from '../../kubernetes/kubeconfig/target.ts';
import { SealError } from '../../storage/seal.ts';
import type { ChangeContext } from '../registry-change.ts';
import { kubeconfigPlace } from './stored-kubeconfig.ts';

/**
 * Decrypts and parses the sealed kubeconfig of a cluster and returns its target. Throws CREDENTIAL_UNUSABLE if it has no
 * usable target, and a ResourceError if too many kubeconfigs are being parsed.
 */
export async function openStoredTarget(
  { seal, policy }: Pick<ChangeContext, 'seal' | 'policy'>,
  { uid, sealed }: { uid: string; sealed: string | undefined },
): Promise<Target> {
  if (sealed === undefined) throw unusable('no kubeconfig is stored for this cluster');
  const reading = await readKubeconfigOffThread(openSealed(seal, uid, sealed), policy).catch((error: unknown) => {
    throw error instanceof TooManyKubeconfigs ? new ResourceError('too many kubeconfigs are being read') : error;
  });
  const chosen = chooseContext(reading);
  if ('target' in chosen && chosen.target) return chosen.target;
  throw unusable(chosen.problem ?? 'the kubeconfig cannot be used');
}

function openSealed(seal: ChangeContext['seal'], uid: string, sealed: string): string {
  try {
    return seal.open(sealed, kubeconfigPlace(uid));
  } catch (error) {
    if (!(error instanceof SealError)) throw error;
    throw unusable('the stored kubeconfig cannot be decrypted: run `kitestring seal verify`');
  }
}

function unusable(reason: string): ClusterError {
  return new ClusterError('CREDENTIAL_UNUSABLE', reason);
}
