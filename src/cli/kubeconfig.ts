import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { StartupError } from '../storage/startup-error.ts';
import { command, UsageError } from './command.ts';

const run = promisify(execFile);

const ACCOUNT = 'kitestring-reader';
const NAMESPACE = 'kitestring';

/** The output of `kubectl config view`, with the content of referenced files embedded. */
interface View {
  readonly clusters?: readonly { readonly cluster: Readonly<Record<string, unknown>> }[];
}

interface TokenSecret {
  readonly data?: { readonly token?: string; readonly 'ca.crt'?: string };
}

/** Prints a kubeconfig without `exec` and without references to files, for clusters such as EKS, GKE and AKS. */
export const printKubeconfig = command({
  positionals: [],
  synopsis: '--context NAME',
  about: 'uses your kubectl to print a self-contained kubeconfig with the token of deploy/reader.yaml',
  options: { context: { type: 'string' } },
  run: async ({ values: { context } }) => {
    if (context === undefined)
      throw new UsageError('kubeconfig needs --context NAME: see kubectl config get-contexts.');
    const view = await kubectl<View>(['config', 'view', '--raw', '--flatten', '--minify', '--context', context]);
    const cluster = view.clusters?.[0]?.cluster;
    if (typeof cluster?.server !== 'string')
      throw new StartupError(`kubectl has no cluster for the context ${context}: see kubectl config get-contexts.`);
    const { data } = await kubectl<TokenSecret>([
      '--context',
      context,
      '--namespace',
      NAMESPACE,
      'get',
      'secret',
      ACCOUNT,
    ]);
    if (!data?.token) throw new StartupError(`The token of ${ACCOUNT} does not exist yet: try again in a moment.`);
    process.stdout.write(
      `${JSON.stringify(kubeconfigOf(context, cluster, { ...data, token: data.token }), null, 2)}\n`,
    );
    return 0;
  },
});

function kubeconfigOf(
  context: string,
  cluster: Readonly<Record<string, unknown>>,
  { token, 'ca.crt': ca }: { token: string; 'ca.crt'?: string },
) {
  const { server, 'tls-server-name': name, 'certificate-authority-data': authority = ca } = cluster;
  return {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': context,
    clusters: [
      {
        name: context,
        cluster: {
          server,
          ...(authority === undefined ? {} : { 'certificate-authority-data': authority }),
          ...(name === undefined ? {} : { 'tls-server-name': name }),
        },
      },
    ],
    contexts: [{ name: context, context: { cluster: context, user: ACCOUNT } }],
    users: [{ name: ACCOUNT, user: { token: Buffer.from(token, 'base64').toString() } }],
  };
}

/**
 * Runs kubectl and parses its JSON output. Its error message is passed on: the user runs their own tool on their own
 * terminal.
 */
async function kubectl<Output>(words: string[]): Promise<Output> {
  try {
    const { stdout } = await run('kubectl', [...words, '--output', 'json'], { maxBuffer: 16 * 1024 * 1024 });
    return JSON.parse(stdout) as Output;
  } catch (error) {
    const { code, stderr = '' } = error as { code?: unknown; stderr?: string };
    if (code === 'ENOENT')
      throw new StartupError(
        'kubectl is not on the PATH: install it, because this command uses it to call the cluster.',
      );
    const lastLine = stderr.trim().split('\n').at(-1) ?? '';
    const advice = stderr.includes('NotFound') ? ' Apply deploy/reader.yaml there first.' : '';
    throw new StartupError(`kubectl failed: ${lastLine}${advice}`);
  }
}
