import type { AddressPolicy } from './address.ts';
import { connectionClosed } from './cluster-error.ts';
import { Connection, type TokenSource } from './connection.ts';
import type { Lookup } from './connector.ts';
import type { Target } from './kubeconfig.ts';
import type { SocketBudget } from './socket-budget.ts';

/** Milliseconds without a call after which a connection is closed; one that is probed is never that long without. */
const IDLE_MS = 5 * 60_000;
/** Milliseconds between two looks for idle connections. */
const SWEEP_MS = 30_000;

/** A cluster as its row names it: connections are kept by both. */
export interface ClusterKey {
  readonly uid: string;
  readonly credentialsVersion: number;
}

/** What a connection is opened with, and the version it was read at: one read of one row. */
export interface OpenedCredential {
  readonly credentialsVersion: number;
  readonly target: Target;
  readonly token?: TokenSource | undefined;
}

/** A connection and the version of the credentials it was opened with. */
export interface ConnectionEntry {
  readonly connection: Connection;
  readonly credentialsVersion: number;
}

export interface ConnectionsOptions {
  policy: AddressPolicy;
  /** Reads the credential of a cluster as it is stored now; rejects when there is none. */
  openCredential: (uid: string) => Promise<OpenedCredential>;
  lookup?: Lookup | undefined;
  sockets?: SocketBudget | undefined;
  idleMs?: number;
}

interface Entry {
  readonly asked: number;
  readonly live: Promise<ConnectionEntry>;
}

/** The live clusters: at most one connection each, opened at first use, replaced when the credentials have changed. */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #idleMs: number;
  readonly #entries = new Map<string, Entry>();
  readonly #sweeping: NodeJS.Timeout;
  #closed = false;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.#idleMs = options.idleMs ?? IDLE_MS;
    this.#sweeping = setInterval(() => void this.#sweep(), Math.min(SWEEP_MS, this.#idleMs)).unref();
  }

  /** The connection of a cluster, shared by all who ask; a failed opening is forgotten, so that the next one tries again. */
  of({ uid, credentialsVersion }: ClusterKey): Promise<ConnectionEntry> {
    if (this.#closed) return Promise.reject(connectionClosed('the cluster'));
    const present = this.#entries.get(uid);
    if (present?.asked === credentialsVersion) return present.live;
    const entry = { asked: credentialsVersion, live: this.#open(uid, present?.live) };
    this.#entries.set(uid, entry);
    entry.live.catch(() => this.#forget(uid, entry));
    return entry.live;
  }

  /** Clusters that have a connection now. */
  get size(): number {
    return this.#entries.size;
  }

  /** Ends the connection of a cluster that was disabled or deleted. */
  async end(uid: string): Promise<void> {
    const entry = this.#entries.get(uid);
    if (!entry) return;
    this.#entries.delete(uid);
    await closeWhenOpen(entry.live);
  }

  /** Ends the connections of all clusters but these. */
  async keepOnly(uids: ReadonlySet<string>): Promise<void> {
    await Promise.all(Array.from(this.#entries.keys(), (uid) => (uids.has(uid) ? undefined : this.end(uid))));
  }

  /** Ends all of them; nothing can be opened afterwards. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#sweeping);
    await this.keepOnly(new Set());
  }

  async #open(uid: string, previous: Promise<ConnectionEntry> | undefined): Promise<ConnectionEntry> {
    const { policy, lookup, sockets, openCredential } = this.#options;
    let keep = false;
    const before = await previous?.catch(() => undefined);
    try {
      const { credentialsVersion, target, token } = await openCredential(uid);
      // Whoever asked had read an older row, or a newer one than the connection was asked for with.
      keep = before?.credentialsVersion === credentialsVersion;
      if (before && keep) return before;
      return { connection: new Connection({ target, token, policy, lookup, sockets }), credentialsVersion };
    } finally {
      if (!keep) await before?.connection.close();
    }
  }

  async #sweep(): Promise<void> {
    const since = performance.now() - this.#idleMs;
    for (const [uid, entry] of this.#entries) {
      const live = await entry.live.catch(() => undefined);
      if (live && live.connection.idleSince() <= since && this.#entries.get(uid) === entry) await this.end(uid);
    }
  }

  #forget(uid: string, entry: Entry): void {
    if (this.#entries.get(uid) === entry) this.#entries.delete(uid);
  }
}

async function closeWhenOpen(live: Promise<ConnectionEntry>): Promise<void> {
  await live.then(
    ({ connection }) => connection.close(),
    () => {},
  );
}
