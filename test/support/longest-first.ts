import type { TestSpecification } from 'vitest/node';
import { BaseSequencer } from 'vitest/node';

/** The files that take longest, longest first: they start first, so that no worker is left with one of them at the end. */
const LONGEST = [
  'postgres-replicas',
  'postgres-cut-off',
  'postgres-replica-clocks',
  'postgres-replicas-killed',
  'postgres-replicas-at-random',
  'postgres-faults',
  'start',
  'cli',
  'lost-changes',
  'postgres-replica-paused',
  'postgres-start',
  'live-failures',
  'durability',
  'live-slow-readers',
  'graphiql',
  'users-command',
  'read-shares',
  'restore',
  'unavailable',
  'live-limits',
  'connection-tests',
  'canary',
  'live-api-servers',
  'seal-rotate',
  'live-status',
  'installation',
].map((name) => `/${name}.test.ts`);

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = LONGEST.findIndex((name) => moduleId.endsWith(name));
      return at === -1 ? LONGEST.length : at;
    };
    return (await super.sort(files)).toSorted((left, right) => rank(left) - rank(right));
  }
}
