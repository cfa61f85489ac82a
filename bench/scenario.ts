import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Outcome, sendAll } from './attack.ts';
import { type Ask, askWell } from './client.ts';
import { spawnNode } from './process.ts';
import { CLUSTERS, rest } from './questions.ts';
import type { ServerOptions, ServerStarter, ServerUnderTest } from './server-under-test.ts';
import type { Keys } from './stall-seed.ts';
import { kubeconfigOf } from './stand-in-process.ts';

/** One way to stall the server or to fill its memory. */
export interface Scenario {
  /** The row in the table of the issue "One request cannot stall the server". */
  readonly row: number;
  readonly what: string;
  /** Whether 50 at once of one caller are measured as well. */
  readonly many?: boolean;
  /** The scenario makes a registry of this size itself and is measured once. */
  readonly ownClusters?: number;
  /** When the attack is ended, where that is not when all others are. */
  readonly deadlineMs?: number;
  readonly prepare: (starter: ServerStarter) => Promise<Prepared>;
}

/** A server at rest, and what attacks it. */
export interface Prepared {
  readonly server: ServerUnderTest;
  /** Attacks so many times at once; ends when the attack is over, or the signal is aborted. */
  readonly attack: (times: number, signal: AbortSignal) => Promise<Outcome>;
  /** Stops whatever runs beside the server. */
  readonly stop?: () => Promise<unknown>;
}

type AskOf = (keys: Keys, number: number) => Ask;

/** An attack of requests; each has a number, so that no two need to be equal. */
export function requests(askOf: AskOf, options: ServerOptions = {}): Scenario['prepare'] {
  return async (starter) => attackBy(askOf, await starter.start(options));
}

/** The same, with clusters `hostile-0`, `hostile-1` and so on, all of which one hostile API server answers for. */
export function hostileRequests(hostile: number, askOf: AskOf): Scenario['prepare'] {
  return async (starter) => {
    const { child, stop } = spawnNode([fileURLToPath(new URL('hostile-cluster.ts', import.meta.url))], {
      stdout: 'pipe',
    });
    if (!child.stdout) throw new Error('stdout is a pipe');
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
    const { port, ca } = JSON.parse(line) as { port: number; ca: string };
    const server = await starter.start();
    for (let number = 0; number < hostile; number++) {
      const config = kubeconfigOf([port], { ca, prefix: 'hostile' });
      const at = `https://127.0.0.1:${port}`;
      await askWell(
        server.url,
        rest('POST', CLUSTERS, { name: `hostile-${number}`, config: config.replace(at, `${at}/c${number}`) }),
      );
    }
    return { ...attackBy(askOf, server), stop };
  };
}

function attackBy(askOf: AskOf, server: ServerUnderTest): Prepared {
  return {
    server,
    attack: (times, signal) => {
      const asks = Array.from({ length: times }, (_, number) => askOf(server.keys, number));
      return sendAll(server.url, asks, signal);
    },
  };
}

/** A GraphQL request of the holder of a key, or of an anonymous caller. */
export function document(key: string | undefined, query: string, variables: object = {}): Ask {
  return post('/graphql', key, JSON.stringify({ query, variables }));
}

/** A POST of JSON. */
export function post(path: string, key: string | undefined, body: string): Ask {
  const authorization = key === undefined ? {} : { Authorization: key };
  return { method: 'POST', path, headers: { ...authorization, 'Content-Type': 'application/json' }, body };
}

/** A field so many times in one selection, each time under a new alias. */
export function aliases(times: number, field: (number: number) => string): string {
  return Array.from({ length: times }, (_, number) => `a${number}:${field(number)}`).join(' ');
}
