import { parentPort } from 'node:worker_threads';
import { describeCredential } from './describe.ts';
import { type KubeconfigReading, readKubeconfig } from './kubeconfig.ts';
import type { KubeconfigPolicy } from './target.ts';

/** Message to the worker: a kubeconfig to parse. */
export interface KubeconfigJob {
  readonly text: string;
  readonly policy: KubeconfigPolicy;
}

// Worker thread for large kubeconfigs. It also computes `described`, because parsing 5,000 certificates takes half a
// second.
parentPort?.on('message', ({ text, policy }: KubeconfigJob) => parentPort?.postMessage(readAndDescribe(text, policy)));

function readAndDescribe(text: string, policy: KubeconfigPolicy): KubeconfigReading {
  const reading = readKubeconfig(text, policy);
  if (reading.contexts === undefined) return reading;
  const contexts = reading.contexts.map((context) =>
    context.target === undefined ? context : { ...context, described: describeCredential(context.target) },
  );
  return { ...reading, contexts };
}
