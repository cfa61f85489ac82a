import { ClusterError } from '../cluster-error.ts';
import type { Clock } from './clock.ts';
import { DETAILS_BUDGET_MS, PROBE_BUDGET_MS } from './probe.ts';

/** Size of the fast pool: probes that may run concurrently during their first second (docs/architecture.md). */
export const FAST_SLOTS = 32;
/**
 * Size of the slow pool. A waiting probe costs almost nothing; in a fleet of
 * 1,000, the 5 % that do not respond all fit in at once.
 */
const SLOW_SLOTS = 64;
/** Milliseconds after which a running probe moves from the fast pool to the slow pool (docs/architecture.md). */
export const FAST_MS = 1_000;
/**
 * Milliseconds after the end of its budget at which a probe that has not returned is aborted: time for version and
 * identity, and a little more.
 */
const GRACE_MS = DETAILS_BUDGET_MS + 500;

/**
 * Highest priority first. BACKLOG holds probes that are expected to be slow;
 * they start only in free slots of the slow pool.
 */
const PRIORITIES = ['NOW', 'FIRST', 'ROUND', 'BACKLOG'] as const;
export type Priority = (typeof PRIORITIES)[number];

/**
 * One probe. `run` must not reject. `done` receives its result, unless
 * the job was withdrawn or resubmitted meanwhile.
 */
export interface Job<Result> {
  run(signal: AbortSignal, budgetMs: number): Promise<Result>;
  done(result: Result): void;
}

interface Run {
  readonly abort: AbortController;
  readonly timers: (() => void)[];
  readonly deadline: number;
  isSlow: boolean;
}

/**
 * Runs probes in a fast pool and a slow pool. If both pools together are full and a job waits for the fast pool, the
 * slow probe that started last is aborted and moves to the backlog. It starts over later, with the rest of its time
 * budget.
 */
export class ProbeScheduler<Result> {
  readonly #clock: Clock;
  readonly #queues = Object.fromEntries(PRIORITIES.map((priority) => [priority, new Map()])) as Record<
    Priority,
    Map<Job<Result>, number>
  >;
  readonly #runs = new Map<Job<Result>, Run>();
  #fastCount = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Queues a job. A job that is already queued or running starts over. */
  submit(job: Job<Result>, priority: Priority): void {
    this.#remove(job, 'the probe was restarted');
    this.#queues[priority].set(job, PROBE_BUDGET_MS);
    this.#startQueued();
  }

  /** Removes a job, queued or running, without calling `done`. */
  withdraw(job: Job<Result>): void {
    this.#remove(job, 'the probe was cancelled');
    this.#startQueued();
  }

  /** Whether any job of this priority is queued. */
  isWaiting(priority: Priority): boolean {
    return this.#queues[priority].size > 0;
  }

  #startQueued(): void {
    const hasRoom = () => this.#runs.size < FAST_SLOTS + SLOW_SLOTS;
    while (this.#fastCount < FAST_SLOTS) {
      const next = this.#dequeue('NOW') ?? this.#dequeue('FIRST') ?? this.#dequeue('ROUND');
      if (!next) break;
      if (!hasRoom()) this.#evictSlowProbe();
      this.#start(...next, false);
    }
    while (hasRoom()) {
      const next = this.#dequeue('BACKLOG');
      if (!next) break;
      this.#start(...next, true);
    }
  }

  #dequeue(priority: Priority): [job: Job<Result>, budgetMs: number] | undefined {
    const [next] = this.#queues[priority];
    if (next) this.#queues[priority].delete(next[0]);
    return next;
  }

  #start(job: Job<Result>, budgetMs: number, isSlow: boolean): void {
    const run: Run = { abort: new AbortController(), timers: [], deadline: this.#clock.elapsed() + budgetMs, isSlow };
    this.#runs.set(job, run);
    if (!isSlow) {
      this.#fastCount += 1;
      run.timers.push(this.#clock.after(FAST_MS, () => this.#moveToSlowPool(run)));
    }
    const abortLate = () => run.abort.abort(new ClusterError('TIMED_OUT', 'the probe did not finish in time'));
    run.timers.push(this.#clock.after(budgetMs + GRACE_MS, abortLate));
    void job.run(run.abort.signal, budgetMs).then((result) => {
      if (this.#runs.get(job) !== run) return;
      this.#release(job, run);
      job.done(result);
      this.#startQueued();
    });
  }

  #moveToSlowPool(run: Run): void {
    run.isSlow = true;
    this.#fastCount -= 1;
    this.#startQueued();
  }

  /** Moves the slow probe that started last to the backlog, because it loses the least work. */
  #evictSlowProbe(): void {
    const last = [...this.#runs].findLast(([, run]) => run.isSlow);
    if (!last) return;
    const [job, { deadline }] = last;
    this.#remove(job, 'the probe was postponed to run others first');
    this.#queues.BACKLOG.set(job, deadline - this.#clock.elapsed());
  }

  #remove(job: Job<Result>, why: string): void {
    for (const priority of PRIORITIES) this.#queues[priority].delete(job);
    const run = this.#runs.get(job);
    if (!run) return;
    this.#release(job, run);
    run.abort.abort(new ClusterError('CANCELLED', why));
  }

  #release(job: Job<Result>, run: Run): void {
    this.#runs.delete(job);
    if (!run.isSlow) this.#fastCount -= 1;
    for (const cancel of run.timers) cancel();
  }
}
