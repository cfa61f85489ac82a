import { hash } from 'node:crypto';
import { sharedTime } from '../../storage/clock.ts';
import type { Database } from '../../storage/database.ts';
import { DomainError } from '../errors.ts';
import { networkOf } from './network.ts';

/** Failures that cost nothing; each one after doubles the wait. */
const FREE_FAILURES = 5;
const FIRST_WAIT_MS = 1_000;
/** A name may be anybody's target, so it waits for seconds; an address is the attacker's own. */
const MAX_WAIT_MS = { name: 30_000, address: 15 * 60_000 };
/** Failures that are forgotten after so long. */
const FORGET_MS = 60 * 60_000;

/** What an attempt is counted under. */
export interface Attempt {
  readonly keys: readonly string[];
}

/**
 * Slows guessing down, per name and per address. An attempt counts as failed from its beginning until it has succeeded,
 * so that many at a time gain nothing; counts are in the database, so that a restart gains nothing either.
 */
export class SignInLimits {
  readonly #database: Database;

  constructor({ database }: { database: Database }) {
    this.#database = database;
  }

  /** Counts an attempt; TOO_MANY_ATTEMPTS while its name or its address has to wait. */
  async begin({ username, address }: { username: string; address?: string | undefined }): Promise<Attempt> {
    // Hashed, so that a password typed as a name is not kept.
    const counted = [
      { key: `name:${hash('sha256', username, 'base64url')}`, most: MAX_WAIT_MS.name },
      ...(address === undefined ? [] : [{ key: `address:${networkOf(address)}`, most: MAX_WAIT_MS.address }]),
    ];
    // Alone with the writers, on every replica: else many at a time would each see the others not counted yet.
    await this.#database.write([], async (tx) => {
      // Replicas' own clocks may differ by more than a name has to wait.
      const now = await sharedTime(this.#database, tx);
      await tx.signInFailure.deleteMany({ where: { lastAt: { lt: new Date(now.getTime() - FORGET_MS) } } });
      for (const { key, most } of counted) {
        const row = await tx.signInFailure.findUnique({ where: { key } });
        const wait =
          row && row.failures >= FREE_FAILURES
            ? Math.min(FIRST_WAIT_MS * 2 ** (row.failures - FREE_FAILURES), most)
            : 0;
        const left = row ? row.lastAt.getTime() + wait - now.getTime() : 0;
        if (left > 0)
          throw new DomainError('TOO_MANY_ATTEMPTS', 'too many failed sign-ins: try again later', {
            retryAfterSeconds: Math.ceil(left / 1000),
          });
        await tx.signInFailure.upsert({
          where: { key },
          create: { key, failures: 1, lastAt: now },
          update: { failures: { increment: 1 }, lastAt: now },
        });
      }
    });
    return { keys: counted.map(({ key }) => key) };
  }

  /** Takes an attempt back: it was the right password. An address keeps its other failures, which may be of other names. */
  async succeed({ keys: [name = '', address] }: Attempt): Promise<void> {
    await this.#database.prisma.signInFailure.deleteMany({ where: { key: name } });
    if (address !== undefined)
      await this.#database.prisma.signInFailure.updateMany({
        where: { key: address, failures: { gt: 0 } },
        data: { failures: { decrement: 1 } },
      });
  }
}
