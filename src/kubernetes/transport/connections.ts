import { connectionClosed } from '../cluster-error.ts';
import type { Target } from '../kubeconfig/target.ts';
import type { AddressPolicy } from './address.ts';
import { Connection, type TokenSource } from './connection.ts';
import type { Lookup } from './connector.ts';
import type { SocketBudget } from './socket-budget.ts';

/**
 * Milliseconds without a call after which a connection is closed. Probes
 * keep the connections of probed clusters open.
 */
const IDLE_MS = 5 * 60_000;
/** Milliseconds between checks for idle connections. */
const SWEEP_MS = 30_000;

/** Identifies a cluster and a version of its credentials, as read from its row. */
export interface ClusterKey {
  readonly uid: string;
  readonly credentialsVersion: number;
}

/** The target and token of a cluster with the credentials version they belong to, all read from one row at once. */
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
  /** Reads the currently stored credential of a cluster; rejects if there is none. */
  openCredential: (uid: string) => Promise<OpenedCredential>;
  lookup?: Lookup | undefined;
  sockets?: SocketBudget | undefined;
  idleMs?: number;
}

interface Entry {
  readonly requestedVersion: number;
  readonly opening: Promise<ConnectionEntry>;
}

/** At most one connection per cluster, opened on first use and replaced when the cluster's credentials change. */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #idleMs: number;
  readonly #entries = new Map<string, Entry>();
  readonly #sweepTimer: NodeJS.Timeout;
  #closed = false;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
    this.#idleMs = options.idleMs ?? IDLE_MS;
    this.#sweepTimer = setInterval(() => void this.#closeIdle(), Math.min(SWEEP_MS, this.#idleMs)).unref();
  }

  /**
   * Returns the cluster's connection, shared by all callers. If it cannot be
   * opened, this rejects and the next call opens it again.
   */
  of({ uid, credentialsVersion }: ClusterKey): Promise<ConnectionEntry> {
    if (this.#closed) return Promise.reject(connectionClosed('the cluster'));
    const present = this.#entries.get(uid);
    if (present?.requestedVersion === credentialsVersion) return present.opening;
    const entry = { requestedVersion: credentialsVersion, opening: this.#open(uid, present?.opening) };
    this.#entries.set(uid, entry);
    entry.opening.catch(() => this.#forget(uid, entry));
    return entry.opening;
  }

  /** Number of clusters that have a connection. */
  get size(): number {
    return this.#entries.size;
  }

  /** Closes the connection of a cluster, for example because the cluster was disabled or deleted. */
  async end(uid: string): Promise<void> {
    const entry = this.#entries.get(uid);
    if (!entry) return;
    this.#entries.delete(uid);
    await closeWhenOpen(entry.opening);
  }

  /** Closes the connections of all clusters except the given ones. */
  async keepOnly(uids: ReadonlySet<string>): Promise<void> {
    await Promise.all(Array.from(this.#entries.keys(), (uid) => (uids.has(uid) ? undefined : this.end(uid))));
  }

  /** Closes all connections; afterwards `of` rejects. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#sweepTimer);
    await this.keepOnly(new Set());
  }

  async #open(uid: string, previous: Promise<ConnectionEntry> | undefined): Promise<ConnectionEntry> {
    const { policy, lookup, sockets, openCredential } = this.#options;
    let isReusable = false;
    const existing = await previous?.catch(() => undefined);
    try {
      const { credentialsVersion, target, token } = await openCredential(uid);
      // The caller's row, or that of the previous caller, was out of date: the open connection already has the stored
      // credentials.
      isReusable = existing?.credentialsVersion === credentialsVersion;
      if (existing && isReusable) return existing;
      return { connection: new Connection({ target, token, policy, lookup, sockets }), credentialsVersion };
    } finally {
      if (!isReusable) await existing?.connection.close();
    }
  }

  async #closeIdle(): Promise<void> {
    const since = performance.now() - this.#idleMs;
    for (const [uid, entry] of this.#entries) {
      const opened = await entry.opening.catch(() => undefined);
      if (opened && opened.connection.idleSince() <= since && this.#entries.get(uid) === entry) await this.end(uid);
    }
  }

  #forget(uid: string, entry: Entry): void {
    if (this.#entries.get(uid) === entry) this.#entries.delete(uid);
  }
}

async function closeWhenOpen(opening: Promise<ConnectionEntry>): Promise<void> {
  await opening.then(
    ({ connection }) => connection.close(),
    () => {},
  );
}
