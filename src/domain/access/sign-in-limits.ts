import { hash } from 'node:crypto';
import type { Database, Transaction } from '../../storage/database.ts';
import { sharedTime } from '../../storage/shared-time.ts';
import { networkOf } from './network.ts';
import { Throttle, tooMany } from './throttle.ts';

/** Failures that cost nothing; each one after doubles the wait. */
const FREE_FAILURES = 5;
const FIRST_WAIT_MS = 1_000;
/** A name may be anybody's target, so it waits for seconds; an address is the attacker's own. */
const MAX_WAIT_MS = { name: 30_000, address: 15 * 60_000 };
/** How far ahead a failure may be stored: attempts that overlap read the time before they store it. */
const OVERLAP_MS = 1_000;
/** Failures that are forgotten after so long. */
const FORGET_MS = 60 * 60_000;

/** Attempts that may be on their way through the counts at once, in one process: of one network, and of all. */
const MOST_AT_ONCE = { network: 20, all: 100 };

/** What an attempt is counted under. */
export interface SignInAttempt {
  readonly keys: readonly string[];
}

/**
 * Slows guessing down, per name and per address. An attempt counts as failed from its beginning until it has succeeded,
 * so that many at a time gain nothing; counts are in the database, so that a restart gains nothing either.
 */
export class SignInLimits {
  readonly #database: Database;
  /** Each attempt takes a turn of the writers, and what others change waits behind them. */
  readonly #throttle = new Throttle({ atOnce: MOST_AT_ONCE });

  constructor({ database }: { database: Database }) {
    this.#database = database;
  }

  /** Counts an attempt; TOO_MANY_ATTEMPTS while its name or its address has to wait. */
  async begin({ username, address }: { username: string; address?: string | undefined }): Promise<SignInAttempt> {
    const network = address === undefined ? undefined : networkOf(address);
    // Hashed, so that a password typed as a name is not kept.
    const counted = [
      { key: `name:${hash('sha256', username, 'base64url')}`, most: MAX_WAIT_MS.name },
      ...(network === undefined ? [] : [{ key: `address:${network}`, most: MAX_WAIT_MS.address }]),
    ];
    await this.#throttle.run({ address }, () => this.#count(counted));
    return { keys: counted.map(({ key }) => key) };
  }

  async #count(counted: readonly Counted[]): Promise<void> {
    // Whoever has to wait takes no turn of the writers.
    await this.#refuse(this.#database.prisma, counted);
    // Alone with the writers, on every replica: else many at a time would each see the others not counted yet.
    await this.#database.write([], async (tx) => {
      const now = await this.#refuse(tx, counted);
      const [oldest, newest] = [new Date(now.getTime() - FORGET_MS), new Date(now.getTime() + FORGET_MS)];
      // Later than now by as much: a clock that ran ahead stored it.
      await tx.signInFailure.deleteMany({ where: { OR: [{ lastAt: { lt: oldest } }, { lastAt: { gt: newest } }] } });
      for (const { key } of counted)
        await tx.signInFailure.upsert({
          where: { key },
          create: { key, failures: 1, lastAt: now },
          update: { failures: { increment: 1 }, lastAt: now },
        });
    });
  }

  /** Refuses what has to wait; else tells the time. */
  async #refuse(client: Transaction, counted: readonly Counted[]): Promise<Date> {
    // Replicas' own clocks may differ by more than a name has to wait.
    const now = await sharedTime(this.#database, client);
    const rows = await client.signInFailure.findMany({ where: { key: { in: counted.map(({ key }) => key) } } });
    // A clock that ran ahead stored them, and has been corrected: their waits begin now.
    const later = rows.filter(({ lastAt }) => lastAt.getTime() > now.getTime() + OVERLAP_MS).map(({ key }) => key);
    if (later.length > 0)
      await client.signInFailure.updateMany({ where: { key: { in: later } }, data: { lastAt: now } });
    for (const { key, most } of counted) {
      const row = rows.find((found) => found.key === key);
      if (!row || row.failures < FREE_FAILURES) continue;
      const since = Math.min(row.lastAt.getTime(), now.getTime());
      const wait = Math.min(FIRST_WAIT_MS * 2 ** (row.failures - FREE_FAILURES), most);
      const left = since + wait - now.getTime();
      if (left > 0) throw tooMany(Math.ceil(left / 1000), 'too many failed sign-ins: try again later');
    }
    return now;
  }

  /** Takes an attempt back: it was the right password. An address keeps its other failures, which may be of other names. */
  async succeed({ keys: [name = '', address] }: SignInAttempt): Promise<void> {
    await this.#database.prisma.signInFailure.deleteMany({ where: { key: name } });
    if (address !== undefined)
      await this.#database.prisma.signInFailure.updateMany({
        where: { key: address, failures: { gt: 0 } },
        data: { failures: { decrement: 1 } },
      });
  }
}

interface Counted {
  readonly key: string;
  /** The longest it has to wait, in milliseconds. */
  readonly most: number;
}
