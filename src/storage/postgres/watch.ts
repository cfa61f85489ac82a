import { Client, escapeIdentifier, type Pool } from 'pg';
import { type Counters, countersOf } from '../database.ts';
import { advancePastSeen, hasRegressed } from './counter-history.ts';
import { toDriverError } from './errors.ts';
import { endWhenSilent, setUp } from './pool.ts';
import type { PostgresLocation } from './url.ts';

/** How late a change is heard of whose notice was lost: by a pooler, or with a connection. */
const POLL_MS = 1_000;
/** What a notice says that tells of no change. */
const GIVEN = 'slots';

/** The name that changes are told under; a schema of its own has one of its own. */
export function channelOf({ schema }: PostgresLocation): string {
  return `kitestring ${schema}`.slice(0, 63);
}

/** A connection apart from Prisma's: it reads the counters, and hears of commits by whichever replica. */
export class Watch {
  readonly #place: PostgresLocation;
  readonly #looks = new Set<() => void>();
  readonly #listeners = new Set<() => void>();
  #client: Promise<Client> | undefined;
  #reading: Promise<unknown> = Promise.resolve();
  #next: Promise<Counters> | undefined;
  #seen: Counters | undefined;
  /** Whether commits that were seen may have been lost since. */
  #mayHaveLost = false;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(place: PostgresLocation) {
    this.#place = place;
  }

  /** Those who ask while a read is under way share the one after it: that one began after they came. */
  counters(): Promise<Counters> {
    this.#next ??= this.#afterReading();
    return this.#next;
  }

  /** Calls `look` at each notice, and each second beside; gives what ends that. */
  watch(look: () => void): () => void {
    this.#looks.add(look);
    this.#timer ??= setInterval(() => this.#tell(this.#looks), POLL_MS).unref();
    return () => {
      this.#looks.delete(look);
      if (this.#looks.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  }

  /** Tells every replica that slots were given up. */
  async tellGiven(pool: Pool): Promise<void> {
    await pool.query('SELECT pg_notify($1, $2)', [channelOf(this.#place), GIVEN]);
  }

  /** Calls `listener` when slots were given up; gives what ends that. */
  onGiven(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    const client = await this.#client?.catch(() => undefined);
    await client?.end().catch(() => {});
  }

  async #afterReading(): Promise<Counters> {
    await this.#reading;
    this.#next = undefined;
    const reading = this.#read();
    this.#reading = reading.catch(() => {});
    return reading;
  }

  async #read(): Promise<Counters> {
    try {
      const client = await this.#connected();
      let counters = await this.#ask(client);
      if (this.#seen && (this.#mayHaveLost || hasRegressed(counters, this.#seen))) {
        this.#mayHaveLost = !(await advancePastSeen(client, this.#seen));
        counters = await this.#ask(client);
      }
      this.#seen = counters;
      return counters;
    } catch (error) {
      throw toDriverError(error);
    }
  }

  async #ask(client: Client): Promise<Counters> {
    // Of one type whatever a newer version makes of the column: a prepared statement keeps to it.
    const text = 'SELECT "name", "value"::float8 FROM "Counter"';
    return countersOf((await client.query({ name: 'counters', text })).rows);
  }

  #connected(): Promise<Client> {
    if (this.#client) return this.#client;
    const client = new Client(this.#place.client);
    const forget = () => {
      if (this.#client === opening) this.#client = undefined;
    };
    // Forgotten when it fails or breaks: the next read opens another.
    client.on('error', forget).on('end', forget);
    client.on('notification', ({ payload }) => this.#tell(payload === GIVEN ? this.#listeners : this.#looks));
    const opening = this.#open(client);
    opening.catch(forget);
    this.#client = opening;
    return opening;
  }

  async #open(client: Client): Promise<Client> {
    if (this.#isClosed) throw new Error('the database was closed');
    // Whatever broke the last connection may have been a failover.
    this.#mayHaveLost = this.#seen !== undefined;
    try {
      await client.connect();
      endWhenSilent(client);
      await setUp(client, this.#place);
      await client.query(`LISTEN ${escapeIdentifier(channelOf(this.#place))}`);
      return client;
    } catch (error) {
      // A standby lets everybody in, and refuses to LISTEN.
      client.end().catch(() => {});
      throw error;
    }
  }

  #tell(listeners: ReadonlySet<() => void>): void {
    for (const listener of listeners) listener();
  }
}
