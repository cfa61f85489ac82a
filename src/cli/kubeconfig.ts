import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { StartupError } from '../storage/startup-error.ts';
import { type Command, UsageError } from './command.ts';

const run = promisify(execFile);

const ACCOUNT = 'kitestring-reader';
const NAMESPACE = 'kitestring';

/** The cluster of a context as `kubectl config view` prints it; the files it named are in it. */
interface View {
  readonly clusters?: readonly { readonly cluster: Readonly<Record<string, unknown>> }[];
}

interface TokenSecret {
  readonly data?: { readonly token?: string; readonly 'ca.crt'?: string };
}

/** Prints a kubeconfig that needs no command and no file: for EKS, GKE, AKS and whoever else uses `exec`. */
export const printKubeconfig: Command = {
  positionals: [],
  synopsis: '--context NAME',
  about: 'prints a self-contained kubeconfig with the token of deploy/reader.yaml, by your own kubectl',
  options: { context: { type: 'string' } },
  run: async ({ values: { context } }) => {
    if (typeof context !== 'string')
      throw new UsageError('kubeconfig needs --context NAME: see kubectl config get-contexts.');
    const view = await kubectl<View>(['config', 'view', '--raw', '--flatten', '--minify', '--context', context]);
    const cluster = view.clusters?.[0]?.cluster;
    if (typeof cluster?.server !== 'string')
      throw new StartupError(`kubectl knows no cluster for the context ${context}.`);
    const { data } = await kubectl<TokenSecret>([
      '--context',
      context,
      '--namespace',
      NAMESPACE,
      'get',
      'secret',
      ACCOUNT,
    ]);
    if (!data?.token) throw new StartupError(`The token of ${ACCOUNT} is not there yet: try again in a moment.`);
    process.stdout.write(
      `${JSON.stringify(kubeconfigOf(context, cluster, { ...data, token: data.token }), null, 2)}\n`,
    );
    return 0;
  },
};

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

/** Asks kubectl for JSON. What it says of a failure is passed on: it is the person's own tool, on their own terminal. */
async function kubectl<Answer>(words: string[]): Promise<Answer> {
  try {
    const { stdout } = await run('kubectl', [...words, '--output', 'json'], { maxBuffer: 16 * 1024 * 1024 });
    return JSON.parse(stdout) as Answer;
  } catch (error) {
    const { code, stderr = '' } = error as { code?: unknown; stderr?: string };
    if (code === 'ENOENT') throw new StartupError('kubectl is not on the PATH: this command asks the cluster by it.');
    const said = stderr.trim().split('\n').at(-1) ?? '';
    const advice = stderr.includes('NotFound') ? ' Apply deploy/reader.yaml there first.' : '';
    throw new StartupError(`kubectl failed: ${said}${advice}`);
  }
}
