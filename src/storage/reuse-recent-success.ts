/** A success counts for this long: anybody may ask `/readyz`. */
const RECENT_MS = 1_000;

/** Runs a check that callers share, and that is not run again for a second after it succeeded. */
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
