import type { Domain } from './app.ts';
import type { Config } from './config.ts';
import type { Logger } from './log.ts';

const USE_MS = 60_000;
const PRUNE_MS = 60 * 60_000;

/** What is done now and then beside the requests; gives what ends it, and does the last of it. */
export function startBackgroundJobs(
  { auditRetentionDays: days }: Pick<Config, 'auditRetentionDays'>,
  log: Logger,
  { apiKeys, auditLog, sessions }: Pick<Domain, 'apiKeys' | 'auditLog' | 'sessions'>,
): () => Promise<void> {
  const attempt = async (chore: () => Promise<void>, failure: string) => {
    try {
      await chore();
    } catch (error) {
      log.warn({ err: error }, failure);
    }
  };
  const storeUse = () => attempt(() => apiKeys.storeUse(), 'the last use of API keys cannot be stored now');
  const ending = new AbortController();
  const prune = async () => {
    await attempt(() => auditLog.prune({ days, signal: ending.signal }), 'the audit log cannot be pruned now');
    await attempt(() => sessions.prune(), 'sessions that are over cannot be forgotten now');
  };
  let pruning = prune();
  const pruneAgain = () => {
    pruning = prune();
  };
  const timers = [setInterval(storeUse, USE_MS).unref(), setInterval(pruneAgain, PRUNE_MS).unref()];
  return async () => {
    for (const timer of timers) clearInterval(timer);
    ending.abort();
    await pruning;
    await storeUse();
  };
}
