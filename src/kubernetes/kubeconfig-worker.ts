import { parentPort } from 'node:worker_threads';
import { describeCredential, type KubeconfigPolicy, type KubeconfigReading, readKubeconfig } from './kubeconfig.ts';

/** A kubeconfig to be read. */
export interface KubeconfigJob {
  readonly text: string;
  readonly policy: KubeconfigPolicy;
}

// A thread of its own for large kubeconfigs: certificates are read here too, some 5,000 of them take half a second.
parentPort?.on('message', ({ text, policy }: KubeconfigJob) => parentPort?.postMessage(read(text, policy)));

function read(text: string, policy: KubeconfigPolicy): KubeconfigReading {
  const reading = readKubeconfig(text, policy);
  if (reading.contexts === undefined) return reading;
  const contexts = reading.contexts.map((context) =>
    context.target === undefined ? context : { ...context, described: describeCredential(context.target) },
  );
  return { ...reading, contexts };
}
