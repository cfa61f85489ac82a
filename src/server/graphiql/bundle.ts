import { isMainThread, parentPort, Worker } from 'node:worker_threads';

/** The files of GraphiQL. */
export type Bundle = Readonly<
  Record<'css' | 'js' | 'editorWorkerService' | 'jsonWorker' | 'graphqlWorker', Uint8Array<ArrayBuffer>>
>;

/** Reads the files in a worker thread, so that the module's memory of about 100 MB is freed when the thread ends. */
export async function readBundle(): Promise<Bundle> {
  const { promise, resolve, reject } = Promise.withResolvers<Bundle>();
  new Worker(new URL(import.meta.url))
    .once('message', resolve)
    .once('error', reject)
    .once('exit', () => reject(new Error('the worker thread that loads GraphiQL exited early')));
  return promise;
}

if (!isMainThread) {
  const { css, js, editorWorkerService, jsonWorker, graphqlWorker } = await import(
    '@graphql-yoga/render-graphiql/graphiql'
  );
  const bytes = (text: string) => Uint8Array.from(Buffer.from(text));
  const bundle: Bundle = {
    css: bytes(css),
    js: bytes(js),
    editorWorkerService: bytes(editorWorkerService),
    jsonWorker: bytes(jsonWorker),
    graphqlWorker: bytes(graphqlWorker),
  };
  parentPort?.postMessage(
    bundle,
    Object.values(bundle).map(({ buffer }) => buffer),
  );
}
