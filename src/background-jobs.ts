import type { Domain } from './app.ts';
import type { Config } from './config.ts';
import type { Logger } from './log.ts';

const STORE_USE_MS = 60_000;
const PRUNE_MS = 60 * 60_000;

/**
 * Starts the periodic background jobs. The returned function stops them and stores the last use of API keys once more.
 */
export function startBackgroundJobs(
  { auditRetentionDays: days }: Pick<Config, 'auditRetentionDays'>,
  log: Logger,
  { apiKeys, auditLog, sessions }: Pick<Domain, 'apiKeys' | 'auditLog' | 'sessions'>,
): () => Promise<void> {
  const runJob = async (job: () => Promise<void>, failure: string) => {
    try {
      await job();
    } catch (error) {
      log.warn({ err: error }, failure);
    }
  };
  const storeUse = () => runJob(() => apiKeys.storeUse(), 'cannot store the last use of API keys: retrying later');
  const shutdown = new AbortController();
  const prune = async () => {
    await runJob(() => auditLog.prune({ days, signal: shutdown.signal }), 'cannot prune the audit log: retrying later');
    await runJob(() => sessions.prune(), 'cannot delete expired sessions: retrying later');
  };
  let pruning = prune();
  const pruneAgain = () => {
    pruning = prune();
  };
  const timers = [setInterval(storeUse, STORE_USE_MS).unref(), setInterval(pruneAgain, PRUNE_MS).unref()];
  return async () => {
    for (const timer of timers) clearInterval(timer);
    shutdown.abort();
    await pruning;
    await storeUse();
  };
}
