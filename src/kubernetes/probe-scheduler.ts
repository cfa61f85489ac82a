import type { Clock } from './clock.ts';
import { ClusterError } from './cluster-error.ts';
import { PROBE_BUDGET_MS } from './probe.ts';

/** Attempts that may run at once while they are young, and twice as many that are old (docs/architecture.md). */
export const FAST_SLOTS = 32;
/** Those that wait cost next to nothing: of a fleet of 1,000, the 5 % that are silent are found out together. */
const SLOW_SLOTS = 64;
/** Milliseconds after which an attempt that has not ended is old, and holds no fast slot any more (docs/architecture.md). */
export const FAST_MS = 1_000;
/** Milliseconds an attempt may take to notice the end of its budget before it is given up. */
const GRACE_MS = 500;

/** What goes first; PARKED waits for a slot that nobody else wants, for it is known not to answer soon. */
const URGENCIES = ['NOW', 'FIRST', 'ROUND', 'PARKED'] as const;
export type Priority = (typeof URGENCIES)[number];

/** Something to attempt. `run` never rejects; what it gives counts only when it reaches `done`. */
export interface Job<Result> {
  run(signal: AbortSignal, budgetMs: number): Promise<Result>;
  done(result: Result): void;
}

interface Run {
  readonly abort: AbortController;
  readonly timers: (() => void)[];
  readonly endsAt: number;
  isOld: boolean;
}

/**
 * The slots that attempts run in. The old may hold those that no young one waits for, and make room when one does: they
 * then wait for another with what is left of their budget.
 */
export class ProbeScheduler<Result> {
  readonly #clock: Clock;
  readonly #waiting = Object.fromEntries(URGENCIES.map((urgency) => [urgency, new Map()])) as Record<
    Priority,
    Map<Job<Result>, number>
  >;
  readonly #runs = new Map<Job<Result>, Run>();
  #young = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Lets a job run as soon as its turn has come; one that waits or runs already begins anew. */
  submit(job: Job<Result>, urgency: Priority): void {
    this.#takeOut(job, 'the attempt begins anew');
    this.#waiting[urgency].set(job, PROBE_BUDGET_MS);
    this.#fill();
  }

  /** Takes a job out, wherever it is; it is not told. */
  withdraw(job: Job<Result>): void {
    this.#takeOut(job, 'the attempt was given up');
    this.#fill();
  }

  /** Whether any job of that urgency waits for its turn. */
  isWaiting(urgency: Priority): boolean {
    return this.#waiting[urgency].size > 0;
  }

  #fill(): void {
    const hasRoom = () => this.#runs.size < FAST_SLOTS + SLOW_SLOTS;
    while (this.#young < FAST_SLOTS) {
      const next = this.#next('NOW') ?? this.#next('FIRST') ?? this.#next('ROUND');
      if (!next) break;
      if (!hasRoom()) this.#makeRoom();
      this.#start(...next, false);
    }
    while (hasRoom()) {
      const next = this.#next('PARKED');
      if (!next) break;
      this.#start(...next, true);
    }
  }

  #next(urgency: Priority): [job: Job<Result>, budgetMs: number] | undefined {
    const [next] = this.#waiting[urgency];
    if (next) this.#waiting[urgency].delete(next[0]);
    return next;
  }

  #start(job: Job<Result>, budgetMs: number, isOld: boolean): void {
    const run: Run = { abort: new AbortController(), timers: [], endsAt: this.#clock.elapsed() + budgetMs, isOld };
    this.#runs.set(job, run);
    if (!isOld) {
      this.#young += 1;
      run.timers.push(this.#clock.after(FAST_MS, () => this.#age(run)));
    }
    const late = () => run.abort.abort(new ClusterError('TIMED_OUT', 'the attempt did not end in time'));
    run.timers.push(this.#clock.after(budgetMs + GRACE_MS, late));
    job.run(run.abort.signal, budgetMs).then((result) => {
      if (this.#runs.get(job) !== run) return;
      this.#leave(job, run);
      job.done(result);
      this.#fill();
    });
  }

  #age(run: Run): void {
    run.isOld = true;
    this.#young -= 1;
    this.#fill();
  }

  /** Parks the old attempt that began last: it loses least. */
  #makeRoom(): void {
    const last = [...this.#runs].findLast(([, run]) => run.isOld);
    if (!last) return;
    const [job, { endsAt }] = last;
    this.#takeOut(job, 'the attempt made room for others');
    this.#waiting.PARKED.set(job, endsAt - this.#clock.elapsed());
  }

  #takeOut(job: Job<Result>, why: string): void {
    for (const urgency of URGENCIES) this.#waiting[urgency].delete(job);
    const run = this.#runs.get(job);
    if (!run) return;
    this.#leave(job, run);
    run.abort.abort(new ClusterError('CANCELLED', why));
  }

  #leave(job: Job<Result>, run: Run): void {
    this.#runs.delete(job);
    if (!run.isOld) this.#young -= 1;
    for (const cancel of run.timers) cancel();
  }
}
