import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { startScript } from './product.ts';

const ROOT = new URL('../', import.meta.url);

/** Describes the machine, the versions and the start command under which the results were measured. */
export function describeMachine({ wrk, tree = ROOT }: { wrk?: string; tree?: URL } = {}) {
  const { version, dependencies } = JSON.parse(readFileSync(new URL('package.json', tree), 'utf8')) as {
    version: string;
    dependencies: Record<string, string>;
  };
  const { express, graphql, prisma } = dependencies;
  return {
    machine: {
      system: `${type()} ${release()}`,
      processor: cpus()[0]?.model ?? 'unknown',
      processors: cpus().length,
      memoryMB: Math.round(totalmem() / 1e6),
      loadBefore: loadavg().map((load) => Math.round(load * 100) / 100),
    },
    versions: {
      ...{ kitestring: version, commit: commit(tree), node: process.version, wrk, sqlite: process.versions.sqlite },
      ...{ 'graphql-yoga': dependencies['graphql-yoga'], '@pothos/core': dependencies['@pothos/core'] },
      ...{ express, graphql, prisma, pino: dependencies.pino },
    },
    start: { ...startScript(tree).environment, flags: startScript(tree).words.filter((word) => word.startsWith('-')) },
  };
}

function commit(tree: URL): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], {
      encoding: 'utf8',
      cwd: tree,
    }).trim();
  } catch {
    return 'unknown';
  }
}
