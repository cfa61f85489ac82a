import type { Reporter, Vitest } from 'vitest/node';
import { POSTGRES } from './database-location.ts';

const PREFIX = 'left out: ';

/** Reports tests that do not run because a program is missing: which tests, and why. */
export const reportLeftOut = (tests: string): void => console.log(PREFIX + tests);

/** Prints, as the last lines of a run, which tests were left out, and why. */
export class LeftOutReporter implements Reporter {
  readonly #lines = new Set([
    POSTGRES === undefined
      ? `${PREFIX}the tests of PostgreSQL, which npm run test:postgres runs`
      : `${PREFIX}on PostgreSQL, the tests of SQLite's own files, and those that use no database`,
  ]);

  onUserConsoleLog({ content }: { content: string }): void {
    for (const line of content.split('\n')) if (line.startsWith(PREFIX)) this.#lines.add(line);
  }

  onInit(vitest: Vitest): void {
    vitest.onClose(() => console.log([...this.#lines].join('\n')));
  }
}
