/** Milliseconds for which a success is reused. Anonymous callers may request `/readyz`, so requests must be cheap. */
const RECENT_MS = 1_000;

/** Wraps `check` so that concurrent callers share one run, and a success is reused for one second. */
export function reuseRecentSuccess(check: () => Promise<void>): () => Promise<void> {
  let succeededAt = Number.NEGATIVE_INFINITY;
  let running: Promise<void> | undefined;
  const run = async () => {
    await check();
    succeededAt = performance.now();
  };
  return async () => {
    if (performance.now() - succeededAt < RECENT_MS) return;
    running ??= run().finally(() => {
      running = undefined;
    });
    await running;
  };
}
