import { Batch } from './batch.ts';
import { type Clock, systemClock } from './clock.ts';
import { ClusterError, faultOf, ResourceError } from './cluster-error.ts';
import type { ProbeFunction, ProbeOutcome, ProbeReport } from './probe-function.ts';
import { type Job, type Priority, ProbeScheduler } from './probe-scheduler.ts';
import { isSameTarget, type ProbeLease, type ProbeTarget } from './probe-target.ts';
import { shuffled } from './shuffled.ts';

/** Milliseconds of a round, and the part of them by which each cluster's differs (docs/architecture.md). */
const ROUND_MS = 30_000;
const ROUND_SPREAD = 0.2;
/** Milliseconds between two questions for version and identity (docs/architecture.md). */
const DETAILS_MS = 10 * 60_000;
/** Milliseconds after which the one failure of a READY cluster is tried again before it counts (docs/architecture.md). */
const CONFIRM_MS = 1_000;
/** Milliseconds that a cluster which fails is left alone, at least and at most, with full jitter between (docs/architecture.md). */
const BACKOFF_MIN_MS = 1_000;
const BACKOFF_MAX_MS = 60_000;
/** Doublings of the wait for what this machine lacks: up to 16 s, so that thousands of clusters do not use it up again. */
const MAX_LACK_DOUBLINGS = 4;
/** Milliseconds between two looks at what is to be probed: how soon another replica's change is met. */
const REFRESH_MS = 1_000;

/** What the prober needs of the world. */
export interface ProberOptions {
  /** All clusters that are enabled and usable. Asked once a second: give the same array for as long as nothing has changed. */
  targets: () => Promise<readonly ProbeTarget[]>;
  attempt: ProbeFunction;
  /** Whether a lease is held still: without it nothing begins or goes on, also while `targets` cannot be read. */
  holds?: (lease: ProbeLease) => boolean;
  /** Takes results at most 100 ms after they were had; one at a time, again when it rejects. */
  store: (outcomes: readonly ProbeOutcome[]) => Promise<void>;
  /** Told when `targets` or `store` rejects, and when an attempt does with what is no fault of a cluster; all are tried again. */
  onError: (error: unknown) => void;
  clock?: Clock;
  random?: () => number;
}

interface Entry extends Job<ProbeReport | undefined> {
  target: ProbeTarget;
  state: string | undefined;
  last: ProbeOutcome | undefined;
  /** Of attempts that failed one after another. */
  failures: number;
  /** ResourceErrors one after another. */
  lacks: number;
  isDoubted: boolean;
  isWanted: boolean;
  detailsAt: number;
  cancelTimer: () => void;
  waiters: ((outcome: ProbeOutcome | undefined) => void)[];
}

/** Keeps every status fresh in the background: what is new first, what is dead without holding up what lives. */
export class Prober {
  readonly #options: ProberOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #lanes: ProbeScheduler<ProbeReport | undefined>;
  readonly #batch: Batch<ProbeOutcome>;
  readonly #entries = new Map<string, Entry>();
  #targets: readonly ProbeTarget[] | undefined;
  #refreshing: Promise<void> = Promise.resolve();
  #refreshWaiting: Promise<void> | undefined;
  #cancelRefresh: () => void = () => {};
  #isStopped = false;

  constructor(options: ProberOptions) {
    const { clock = systemClock, random = Math.random, store, onError } = options;
    this.#options = options;
    this.#clock = clock;
    this.#random = random;
    this.#lanes = new ProbeScheduler(clock);
    this.#batch = new Batch({ clock, keyOf: ({ uid }) => uid, deliver: store, onError });
  }

  /** Begins: every cluster is tried as soon as there is a slot, and again in rounds until `stop`. */
  start(): void {
    this.refresh().finally(() => {
      if (!this.#isStopped) this.#cancelRefresh = this.#clock.after(REFRESH_MS, () => this.start());
    });
  }

  /** Ends every attempt and delivers what was found; again does nothing. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#cancelRefresh();
    for (const entry of this.#entries.values()) this.#remove(entry);
    await this.#batch.close();
  }

  /** Looks now at what is to be probed: call it after a change, which is then tried before anything else. */
  refresh(): Promise<void> {
    for (const entry of this.#entries.values()) if (this.#isLost(entry)) this.#drop(entry);
    // Who asks while a look is under way may know of a change that it has missed; all of them share the next.
    this.#refreshWaiting ??= this.#refreshing.then(() => {
      this.#refreshWaiting = undefined;
      this.#refreshing = this.#look();
      return this.#refreshing;
    });
    return this.#refreshWaiting;
  }

  /** Tries a cluster at once and gives what counts afterwards; undefined when it is not, or no longer, to be probed. */
  async probeNow(uid: string): Promise<ProbeOutcome | undefined> {
    await this.refresh();
    const entry = this.#entries.get(uid);
    if (!entry) return undefined;
    return new Promise((resolve) => {
      entry.waiters.push(resolve);
      // An attempt that somebody waits for is shared; any other may have begun before what they want to see.
      if (!entry.isWanted) this.#submit(entry, 'NOW');
      entry.isWanted = true;
    });
  }

  /** The first result of each cluster under its present credentials; undefined as in `probeNow`. */
  async tried(uids: readonly string[]): Promise<(ProbeOutcome | undefined)[]> {
    await this.refresh();
    return Promise.all(
      uids.map((uid) => {
        const entry = this.#entries.get(uid);
        if (!entry || entry.last) return entry?.last;
        return new Promise<ProbeOutcome | undefined>((resolve) => entry.waiters.push(resolve));
      }),
    );
  }

  /** Whether any cluster waits for its first attempt: what can wait should. */
  get hasUnprobedClusters(): boolean {
    return this.#lanes.isWaiting('FIRST');
  }

  /** What the last attempt that counts has found, under the present credentials. */
  last(uid: string): ProbeOutcome | undefined {
    return this.#entries.get(uid)?.last;
  }

  /** The time since when every cluster was tried at least once; undefined before the first round is through. */
  roundFinishedAt(): Date | undefined {
    let oldest = this.#clock.now();
    for (const { last } of this.#entries.values()) {
      if (!last) return undefined;
      oldest = Math.min(oldest, last.observedAt.getTime());
    }
    return new Date(oldest);
  }

  async #look(): Promise<void> {
    if (this.#isStopped) return;
    try {
      const targets = await this.#options.targets();
      if (targets !== this.#targets && !this.#isStopped) this.#take(targets);
    } catch (error) {
      this.#options.onError(error);
    }
  }

  #take(targets: readonly ProbeTarget[]): void {
    this.#targets = targets;
    const present = new Set<string>();
    const begun: [Entry, Priority][] = [];
    for (const target of targets) {
      present.add(target.uid);
      const entry = this.#entries.get(target.uid);
      if (entry && isSameTarget(entry.target, target)) continue;
      const next = this.#entryOf(target);
      if (entry) {
        next.waiters = entry.waiters.splice(0);
        next.isWanted = entry.isWanted;
        this.#drop(entry);
      }
      this.#entries.set(target.uid, next);
      if (target.firstInMs && !next.isWanted) this.#later(next, target.firstInMs, 'FIRST');
      else begun.push([next, next.isWanted ? 'NOW' : 'FIRST']);
    }
    // In no order: those that are silent, and hold a slot for long, often stand together in a kubeconfig.
    for (const [entry, urgency] of shuffled(begun, this.#random)) this.#submit(entry, urgency);
    for (const [uid, entry] of this.#entries) if (!present.has(uid)) this.#drop(entry);
  }

  /** What somebody waits for is asked whoever holds it. */
  #isLost({ target: { lease }, waiters }: Entry): boolean {
    return lease !== undefined && waiters.length === 0 && this.#options.holds?.(lease) === false;
  }

  #drop(entry: Entry): void {
    this.#remove(entry);
    this.#batch.drop(entry.target.uid);
  }

  #entryOf(target: ProbeTarget): Entry {
    const entry: Entry = {
      target,
      state: target.state,
      last: undefined,
      failures: 0,
      lacks: 0,
      isDoubted: false,
      isWanted: false,
      detailsAt: Number.NEGATIVE_INFINITY,
      cancelTimer: () => {},
      waiters: [],
      run: (signal, budgetMs) => this.#attempt(entry, signal, budgetMs),
      done: (result) => this.#settle(entry, result),
    };
    return entry;
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry.target.uid);
    entry.cancelTimer();
    this.#lanes.withdraw(entry);
    for (const resolve of entry.waiters.splice(0)) resolve(undefined);
  }

  #submit(entry: Entry, urgency: Priority): void {
    entry.cancelTimer();
    this.#lanes.submit(entry, urgency);
  }

  async #attempt(entry: Entry, signal: AbortSignal, budgetMs: number): Promise<ProbeReport | undefined> {
    const { target, detailsAt, state } = entry;
    if (this.#isLost(entry)) return void this.#drop(entry);
    const begin = this.#clock.elapsed();
    const details = !answers(state) || begin - detailsAt >= DETAILS_MS;
    const ended = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    try {
      return await Promise.race([this.#options.attempt(target, { details, signal, budgetMs }), ended]);
    } catch (error) {
      // Errors on our side, such as an unavailable database, do not change a cluster's status.
      entry.lacks = error instanceof ResourceError ? entry.lacks + 1 : 0;
      if (!(error instanceof ClusterError) || error instanceof ResourceError) return void this.#options.onError(error);
      const { credentialsVersion } = target;
      return {
        state: 'UNREACHABLE',
        latencyMs: this.#clock.elapsed() - begin,
        fault: faultOf(error),
        credentialsVersion,
      };
    }
  }

  #settle(entry: Entry, result: ProbeReport | undefined): void {
    const { uid } = entry.target;
    if (!result) {
      entry.isWanted = false;
      for (const resolve of entry.waiters.splice(0)) resolve(undefined);
      this.#later(entry, CONFIRM_MS * 2 ** Math.min(entry.lacks, MAX_LACK_DOUBLINGS), 'ROUND');
      return;
    }
    if (entry.state === 'READY' && result.state !== 'READY' && !entry.isDoubted) {
      entry.isDoubted = true;
      this.#later(entry, CONFIRM_MS, 'NOW');
      return;
    }
    entry.lacks = 0;
    const { lease } = entry.target;
    const outcome: ProbeOutcome = { ...result, uid, lease, observedAt: new Date(this.#clock.now()) };
    entry.isDoubted = false;
    entry.isWanted = false;
    entry.state = result.state;
    entry.last = outcome;
    if (result.version !== undefined || result.identity !== undefined) entry.detailsAt = this.#clock.elapsed();
    entry.failures = answers(result.state) ? 0 : entry.failures + 1;
    this.#batch.add(outcome);
    for (const resolve of entry.waiters.splice(0)) resolve(outcome);
    if (entry.target.once) return;
    this.#later(entry, this.#waitOf(entry), result.fault?.code === 'TIMED_OUT' ? 'PARKED' : 'ROUND');
  }

  #later(entry: Entry, ms: number, urgency: Priority): void {
    entry.cancelTimer = this.#clock.after(ms, () => this.#submit(entry, urgency));
  }

  #waitOf({ failures }: Entry): number {
    if (failures === 0) return ROUND_MS * (1 + ROUND_SPREAD * (2 * this.#random() - 1));
    const most = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** failures);
    return BACKOFF_MIN_MS + this.#random() * (most - BACKOFF_MIN_MS);
  }
}

function answers(state: string | undefined): boolean {
  return state === 'READY' || state === 'DEGRADED';
}
