import { ClusterError, faultOf, ResourceError } from '../cluster-error.ts';
import { Batch } from '../transport/batch.ts';
import { type Clock, systemClock } from './clock.ts';
import type { ProbeFunction, ProbeOutcome, ProbeReport } from './probe-function.ts';
import {
  CONFIRM_MS,
  delayAfterOwnError,
  delayUntilNextProbe,
  isHealthy,
  needsDetails,
  type ProbeHistory,
} from './probe-intervals.ts';
import { type Job, type Priority, ProbeScheduler } from './probe-scheduler.ts';
import { isSameTarget, type ProbeLease, type ProbeTarget } from './probe-target.ts';
import { shuffled } from './shuffled.ts';

/** Milliseconds between reads of the targets: the maximum delay until a change by another replica takes effect. */
const REFRESH_MS = 1_000;

export interface ProberOptions {
  /** All clusters to probe. Called once a second; must return the same array instance while nothing has changed. */
  targets: () => Promise<readonly ProbeTarget[]>;
  probe: ProbeFunction;
  /**
   * Whether a lease is still held. Probes of a lost lease are neither
   * started nor continued, even while `targets` rejects.
   */
  holds?: (lease: ProbeLease) => boolean;
  /**
   * Stores results, at most 100 ms after each probe finished. Never called concurrently; called again if it rejects.
   */
  store: (outcomes: readonly ProbeOutcome[]) => Promise<void>;
  /**
   * Called when `targets` or `store` rejects, and when a probe fails for a
   * reason on our side. All of them are retried.
   */
  onError: (error: unknown) => void;
  clock?: Clock;
  random?: () => number;
}

interface Entry extends Job<ProbeReport | undefined>, ProbeHistory {
  target: ProbeTarget;
  last: ProbeOutcome | undefined;
  isConfirmingFailure: boolean;
  cancelTimer: () => void;
  waiters: ((outcome: ProbeOutcome | undefined) => void)[];
}

/** Probes all clusters in the background: new clusters first, and unresponsive clusters without delaying the others. */
export class Prober {
  readonly #options: ProberOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #scheduler: ProbeScheduler<ProbeReport | undefined>;
  readonly #batch: Batch<ProbeOutcome>;
  readonly #entries = new Map<string, Entry>();
  #targets: readonly ProbeTarget[] | undefined;
  #refreshing: Promise<void> = Promise.resolve();
  #nextRefresh: Promise<void> | undefined;
  #cancelRefresh: () => void = () => {};
  #isStopped = false;

  constructor(options: ProberOptions) {
    const { clock = systemClock, random = Math.random, store, onError } = options;
    this.#options = options;
    this.#clock = clock;
    this.#random = random;
    this.#scheduler = new ProbeScheduler(clock);
    this.#batch = new Batch({ clock, keyOf: ({ uid }) => uid, deliver: store, onError });
  }

  /** Starts probing: every cluster as soon as a slot is free, and periodically until `stop`. */
  start(): void {
    void this.refresh().finally(() => {
      if (!this.#isStopped) this.#cancelRefresh = this.#clock.after(REFRESH_MS, () => this.start());
    });
  }

  /** Aborts running probes and stores pending results. Idempotent. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#cancelRefresh();
    for (const entry of this.#entries.values()) this.#remove(entry);
    await this.#batch.close();
  }

  /** Reads the targets now. Call it after a change of the registry: changed clusters are probed before all others. */
  refresh(): Promise<void> {
    for (const entry of this.#entries.values()) if (this.#hasLostLease(entry)) this.#drop(entry);
    // A read that is already running may miss the caller's change. Callers during that read share the one after it.
    this.#nextRefresh ??= this.#refreshing.then(() => {
      this.#nextRefresh = undefined;
      this.#refreshing = this.#readTargets();
      return this.#refreshing;
    });
    return this.#nextRefresh;
  }

  /**
   * Probes a cluster immediately and returns the confirmed outcome; undefined
   * if the cluster is not, or no longer, a target.
   */
  async probeNow(uid: string): Promise<ProbeOutcome | undefined> {
    await this.refresh();
    const entry = this.#entries.get(uid);
    if (!entry) return undefined;
    return new Promise((resolve) => {
      entry.waiters.push(resolve);
      // Join a running one-off probe, but not a background probe: that may have started before the change that the
      // caller wants to observe.
      const joins = entry.isRequested;
      entry.isRequested = true;
      if (!joins) this.#submit(entry, 'NOW');
    });
  }

  /** Waits for the first outcome of each cluster under its current credentials; undefined as in `probeNow`. */
  async waitForFirstOutcomes(uids: readonly string[]): Promise<(ProbeOutcome | undefined)[]> {
    await this.refresh();
    return Promise.all(
      uids.map((uid) => {
        const entry = this.#entries.get(uid);
        if (!entry || entry.last) return entry?.last;
        return new Promise<ProbeOutcome | undefined>((resolve) => entry.waiters.push(resolve));
      }),
    );
  }

  /** Whether any cluster waits for its first probe. If so, callers should postpone work that is not urgent. */
  get hasUnprobedClusters(): boolean {
    return this.#scheduler.isWaiting('FIRST');
  }

  /** The last confirmed outcome under the current credentials. */
  last(uid: string): ProbeOutcome | undefined {
    return this.#entries.get(uid)?.last;
  }

  /** The time since which every cluster has been probed at least once; undefined until the first round is complete. */
  roundFinishedAt(): Date | undefined {
    let oldest = this.#clock.now();
    for (const { last } of this.#entries.values()) {
      if (!last) return undefined;
      oldest = Math.min(oldest, last.observedAt.getTime());
    }
    return new Date(oldest);
  }

  async #readTargets(): Promise<void> {
    if (this.#isStopped) return;
    try {
      const targets = await this.#options.targets();
      if (targets !== this.#targets && !this.#isStopped) this.#applyTargets(targets);
    } catch (error) {
      this.#options.onError(error);
    }
  }

  #applyTargets(targets: readonly ProbeTarget[]): void {
    this.#targets = targets;
    const present = new Set<string>();
    const submitted: [Entry, Priority][] = [];
    for (const target of targets) {
      present.add(target.uid);
      const entry = this.#entries.get(target.uid);
      if (entry && isSameTarget(entry.target, target)) continue;
      const next = this.#createEntry(target);
      if (entry) {
        next.waiters = entry.waiters.splice(0);
        next.isRequested = entry.isRequested;
        this.#drop(entry);
      }
      this.#entries.set(target.uid, next);
      if (target.firstInMs && !next.isRequested) this.#scheduleProbe(next, target.firstInMs, 'FIRST');
      else submitted.push([next, next.isRequested ? 'NOW' : 'FIRST']);
    }
    // Shuffle: unresponsive clusters, which occupy slots for long, are often adjacent in a kubeconfig.
    for (const [entry, priority] of shuffled(submitted, this.#random)) this.#submit(entry, priority);
    for (const [uid, entry] of this.#entries) if (!present.has(uid)) this.#drop(entry);
  }

  /**
   * Whether the target's lease is lost and no caller waits for the
   * outcome: a requested probe does not need the lease.
   */
  #hasLostLease({ target: { lease }, waiters }: Entry): boolean {
    return lease !== undefined && waiters.length === 0 && this.#options.holds?.(lease) === false;
  }

  #drop(entry: Entry): void {
    this.#remove(entry);
    this.#batch.drop(entry.target.uid);
  }

  #createEntry(target: ProbeTarget): Entry {
    const entry: Entry = {
      target,
      state: target.state,
      last: undefined,
      failures: 0,
      resourceErrors: 0,
      isConfirmingFailure: false,
      isRequested: false,
      detailsAt: Number.NEGATIVE_INFINITY,
      cancelTimer: () => {},
      waiters: [],
      run: (signal, budgetMs) => this.#probe(entry, signal, budgetMs),
      done: (result) => this.#handleResult(entry, result),
    };
    return entry;
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry.target.uid);
    entry.cancelTimer();
    this.#scheduler.withdraw(entry);
    for (const resolve of entry.waiters.splice(0)) resolve(undefined);
  }

  #submit(entry: Entry, priority: Priority): void {
    entry.cancelTimer();
    this.#scheduler.submit(entry, priority);
  }

  async #probe(entry: Entry, signal: AbortSignal, budgetMs: number): Promise<ProbeReport | undefined> {
    const { target } = entry;
    if (this.#hasLostLease(entry)) return void this.#drop(entry);
    const begin = this.#clock.elapsed();
    const details = needsDetails(entry, begin);
    const aborted = new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    try {
      return await Promise.race([this.#options.probe(target, { details, signal, budgetMs }), aborted]);
    } catch (error) {
      // Errors on our side, such as an unavailable database, do not change a cluster's status.
      entry.resourceErrors = error instanceof ResourceError ? entry.resourceErrors + 1 : 0;
      if (!(error instanceof ClusterError) || error instanceof ResourceError) return void this.#options.onError(error);
      const { credentialsVersion } = target;
      return {
        state: error.code === 'CREDENTIAL_UNUSABLE' ? 'UNUSABLE' : 'UNREACHABLE',
        latencyMs: this.#clock.elapsed() - begin,
        fault: faultOf(error),
        credentialsVersion,
      };
    }
  }

  #handleResult(entry: Entry, result: ProbeReport | undefined): void {
    const { uid } = entry.target;
    if (!result) {
      entry.isRequested = false;
      for (const resolve of entry.waiters.splice(0)) resolve(undefined);
      this.#scheduleProbe(entry, delayAfterOwnError(entry), 'ROUND');
      return;
    }
    const isFirstFailure = entry.state === 'READY' && result.state !== 'READY' && !entry.isConfirmingFailure;
    // No second probe of a credential that cannot be used: nothing was called, so nothing can have failed by chance.
    if (isFirstFailure && result.state !== 'UNUSABLE') {
      entry.isConfirmingFailure = true;
      this.#scheduleProbe(entry, CONFIRM_MS, 'NOW');
      return;
    }
    entry.resourceErrors = 0;
    const { lease } = entry.target;
    const outcome: ProbeOutcome = { ...result, uid, lease, observedAt: new Date(this.#clock.now()) };
    entry.isConfirmingFailure = false;
    entry.isRequested = false;
    entry.state = result.state;
    entry.last = outcome;
    if (result.version !== undefined || result.identity !== undefined) entry.detailsAt = this.#clock.elapsed();
    entry.failures = isHealthy(result.state) ? 0 : entry.failures + 1;
    this.#batch.add(outcome);
    for (const resolve of entry.waiters.splice(0)) resolve(outcome);
    if (entry.target.once) return;
    this.#scheduleProbe(
      entry,
      delayUntilNextProbe(entry, this.#random),
      result.fault?.code === 'TIMED_OUT' ? 'BACKLOG' : 'ROUND',
    );
  }

  #scheduleProbe(entry: Entry, ms: number, priority: Priority): void {
    entry.cancelTimer = this.#clock.after(ms, () => this.#submit(entry, priority));
  }
}
