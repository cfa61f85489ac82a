import { Client, escapeIdentifier, type Pool } from 'pg';
import { type Counters, countersOf } from '../database.ts';
import { advancePastSeen, hasRegressed } from './counter-history.ts';
import { toDriverError } from './errors.ts';
import { closeOnResponseTimeout, setUp } from './pool.ts';
import type { PostgresLocation } from './url.ts';

/** Milliseconds between polls, which detect changes when a notification is lost by a pooler or a broken connection. */
const POLL_MS = 1_000;
/** The payload of a notification that slots were released. Notifications of changes have an empty payload. */
const SLOTS_RELEASED = 'slots';

/** The notification channel of this database. Each schema has its own. */
export function channelOf({ schema }: PostgresLocation): string {
  return `kitestring ${schema}`.slice(0, 63);
}

/** A connection separate from Prisma's. It reads the counters and receives notifications of commits by all replicas. */
export class CounterConnection {
  readonly #location: PostgresLocation;
  readonly #changeListeners = new Set<() => void>();
  readonly #releaseListeners = new Set<() => void>();
  #client: Promise<Client> | undefined;
  #currentRead: Promise<unknown> = Promise.resolve();
  #nextRead: Promise<Counters> | undefined;
  #seen: Counters | undefined;
  /** Whether the database may have lost commits that this process has seen. */
  #mayHaveLost = false;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(location: PostgresLocation) {
    this.#location = location;
  }

  /**
   * Reads the counters. Callers that arrive during a read share the next one, because only a read that starts after the
   * call is sure to include every earlier commit.
   */
  counters(): Promise<Counters> {
    this.#nextRead ??= this.#readAfterCurrent();
    return this.#nextRead;
  }

  /** Calls `listener` on each change notification and every second. Returns a function that removes the listener. */
  watch(listener: () => void): () => void {
    this.#changeListeners.add(listener);
    this.#timer ??= setInterval(() => this.#call(this.#changeListeners), POLL_MS).unref();
    return () => {
      this.#changeListeners.delete(listener);
      if (this.#changeListeners.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    };
  }

  /** Notifies every replica that slots were released. */
  async notifyReleased(pool: Pool): Promise<void> {
    await pool.query('SELECT pg_notify($1, $2)', [channelOf(this.#location), SLOTS_RELEASED]);
  }

  /** Calls `listener` when slots are released. Returns a function that removes the listener. */
  onReleased(listener: () => void): () => void {
    this.#releaseListeners.add(listener);
    return () => void this.#releaseListeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    const client = await this.#client?.catch(() => undefined);
    await client?.end().catch(() => {});
  }

  async #readAfterCurrent(): Promise<Counters> {
    await this.#currentRead;
    this.#nextRead = undefined;
    const read = this.#read();
    this.#currentRead = read.catch(() => {});
    return read;
  }

  async #read(): Promise<Counters> {
    try {
      const client = await this.#connect();
      let counters = await this.#query(client);
      if (this.#seen && (this.#mayHaveLost || hasRegressed(counters, this.#seen))) {
        this.#mayHaveLost = !(await advancePastSeen(client, this.#seen));
        counters = await this.#query(client);
      }
      this.#seen = counters;
      return counters;
    } catch (error) {
      throw toDriverError(error);
    }
  }

  async #query(client: Client): Promise<Counters> {
    // The cast keeps the prepared statement valid if a newer version changes the type of the column.
    const text = 'SELECT "name", "value"::float8 FROM "Counter"';
    return countersOf((await client.query({ name: 'counters', text })).rows);
  }

  #connect(): Promise<Client> {
    if (this.#client) return this.#client;
    const client = new Client(this.#location.client);
    const forget = () => {
      if (this.#client === opening) this.#client = undefined;
    };
    // The next read then opens a new connection.
    client.on('error', forget).on('end', forget);
    client.on('notification', ({ payload }) =>
      this.#call(payload === SLOTS_RELEASED ? this.#releaseListeners : this.#changeListeners),
    );
    const opening = this.#open(client);
    opening.catch(forget);
    this.#client = opening;
    return opening;
  }

  async #open(client: Client): Promise<Client> {
    if (this.#isClosed) throw new Error('the database was closed');
    // The previous connection may have broken because of a failover, which can lose commits.
    this.#mayHaveLost = this.#seen !== undefined;
    try {
      await client.connect();
      closeOnResponseTimeout(client);
      await setUp(client, this.#location);
      await client.query(`LISTEN ${escapeIdentifier(channelOf(this.#location))}`);
      return client;
    } catch (error) {
      // The client may be connected: a standby accepts connections but rejects LISTEN.
      client.end().catch(() => {});
      throw error;
    }
  }

  #call(listeners: ReadonlySet<() => void>): void {
    for (const listener of listeners) listener();
  }
}
