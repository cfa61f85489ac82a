import { hash } from 'node:crypto';
import { networkOf } from '../../ip-address.ts';
import type { Database, Transaction } from '../../storage/database.ts';
import { Throttle, tooMany } from '../access/throttle.ts';

/** Failures before the first wait. Each further failure doubles the wait. */
const FREE_FAILURES = 5;
const FIRST_WAIT_MS = 1_000;
/**
 * The longest waits. An attacker can cause failures under any username, so its wait stays short. Failures of an address
 * are caused by its own users.
 */
const MAX_WAIT_MS = { name: 30_000, address: 15 * 60_000 };
/** A stored failure may be this far in the future: concurrent attempts read the time before they store it. */
const MAX_OVERLAP_MS = 1_000;
/** Failures are forgotten after this time without another one. */
const FORGET_MS = 60 * 60_000;

/** Maximum number of attempts that are counted concurrently in one process: per network, and in total. */
const MAX_AT_ONCE = { network: 20, all: 100 };

/** The keys under which an attempt is counted. */
export interface SignInAttempt {
  readonly keys: readonly string[];
}

/**
 * Slows down password guessing, per username and per address. An attempt counts as failed until it succeeds, so
 * concurrent attempts gain nothing. The counts are stored in the database, so a restart gains nothing either.
 */
export class SignInLimits {
  readonly #database: Database;
  /** Each attempt takes the write lock, which other changes need too. */
  readonly #throttle = new Throttle({ atOnce: MAX_AT_ONCE });

  constructor({ database }: { database: Database }) {
    this.#database = database;
  }

  /** Counts an attempt. Throws TOO_MANY_ATTEMPTS if its username or its address must wait. */
  async begin({ username, address }: { username: string; address?: string | undefined }): Promise<SignInAttempt> {
    const network = address === undefined ? undefined : networkOf(address);
    // Store a hash: the username may be a password typed into the wrong field.
    const counted = [
      { key: `name:${hash('sha256', username, 'base64url')}`, maxWaitMs: MAX_WAIT_MS.name },
      ...(network === undefined ? [] : [{ key: `address:${network}`, maxWaitMs: MAX_WAIT_MS.address }]),
    ];
    await this.#throttle.run({ address }, () => this.#count(counted));
    return { keys: counted.map(({ key }) => key) };
  }

  async #count(counted: readonly CountedKey[]): Promise<void> {
    // Check before taking the write lock, so that throttled attempts do not take it.
    await this.#requireNoWait(this.#database.prisma, counted);
    // Check and count under the write lock of all replicas: otherwise concurrent attempts would not see each other.
    await this.#database.write([], async (tx) => {
      const now = await this.#requireNoWait(tx, counted);
      const [oldest, newest] = [new Date(now.getTime() - FORGET_MS), new Date(now.getTime() + FORGET_MS)];
      // A time this far in the future was stored under a clock that ran ahead.
      await tx.signInFailure.deleteMany({ where: { OR: [{ lastAt: { lt: oldest } }, { lastAt: { gt: newest } }] } });
      for (const { key } of counted)
        await tx.signInFailure.upsert({
          where: { key },
          create: { key, failures: 1, lastAt: now },
          update: { failures: { increment: 1 }, lastAt: now },
        });
    });
  }

  /** Throws TOO_MANY_ATTEMPTS if one of the keys must wait; otherwise returns the current time of the database. */
  async #requireNoWait(client: Transaction, counted: readonly CountedKey[]): Promise<Date> {
    // The clocks of replicas may differ by more than the wait of a username.
    const now = await this.#database.currentTime(client);
    const rows = await client.signInFailure.findMany({ where: { key: { in: counted.map(({ key }) => key) } } });
    // These times were stored under a clock that ran ahead and has been corrected: restart their waits now.
    const later = rows.filter(({ lastAt }) => lastAt.getTime() > now.getTime() + MAX_OVERLAP_MS).map(({ key }) => key);
    if (later.length > 0)
      await client.signInFailure.updateMany({ where: { key: { in: later } }, data: { lastAt: now } });
    for (const { key, maxWaitMs } of counted) {
      const row = rows.find((found) => found.key === key);
      if (!row || row.failures < FREE_FAILURES) continue;
      const since = Math.min(row.lastAt.getTime(), now.getTime());
      const wait = Math.min(FIRST_WAIT_MS * 2 ** (row.failures - FREE_FAILURES), maxWaitMs);
      const remaining = since + wait - now.getTime();
      if (remaining > 0) throw tooMany(Math.ceil(remaining / 1000), 'too many failed sign-ins: try again later');
    }
    return now;
  }

  /**
   * Clears the failures of the username and takes this attempt off the count of the address. The address keeps its
   * other failures, which may belong to other usernames.
   */
  async succeed({ keys: [name = '', address] }: SignInAttempt): Promise<void> {
    await this.#database.prisma.signInFailure.deleteMany({ where: { key: name } });
    if (address !== undefined)
      await this.#database.prisma.signInFailure.updateMany({
        where: { key: address, failures: { gt: 0 } },
        data: { failures: { decrement: 1 } },
      });
  }
}

interface CountedKey {
  readonly key: string;
  /** The longest wait, in milliseconds. */
  readonly maxWaitMs: number;
}
