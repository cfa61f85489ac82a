import { constants } from 'node:os';
import type { App } from './app.ts';
import { readConfig } from './config.ts';
import { type Logger, openLog } from './log.ts';
import { start } from './start.ts';
import { StartupError } from './storage/startup-error.ts';

/** A hanging shutdown is aborted after this time: orchestrators kill a process after ten seconds. */
const SHUTDOWN_MS = 9_500;

/** Runs the server until it receives a signal. A failed start prints one sentence and exits with code 1. */
export async function main(): Promise<void> {
  let log: Logger | undefined;
  let app: App | undefined;
  let isShuttingDown = false;
  // Register the handlers first: process 1 of a container has no default signal handlers.
  const shutDown = async (signal: NodeJS.Signals) => {
    if (!app || isShuttingDown) process.exit(128 + constants.signals[signal]);
    isShuttingDown = true;
    setTimeout(() => process.exit(1), SHUTDOWN_MS).unref();
    log?.info({ signal }, 'shutting down');
    await app.close();
    process.exit(0);
  };
  process.on('SIGTERM', shutDown).on('SIGINT', shutDown);
  process.on('uncaughtException', (error) => {
    log?.fatal({ err: error }, 'shutting down after an uncaught error');
    process.exit(1);
  });
  try {
    const config = readConfig();
    const terminal = process.stdout.isTTY;
    log = await openLog({ level: config.logLevel, pretty: terminal });
    app = await start(config, log, { terminal });
  } catch (error) {
    const cause = error instanceof StartupError ? error.cause : error;
    if (cause !== undefined) log?.fatal({ err: cause }, 'the start failed');
    console.error(error instanceof StartupError ? error.message : describeInternalError(error));
    process.exit(1);
  }
}

// Do not print the message of the error: it may quote input, such as secrets.
function describeInternalError(error: unknown): string {
  return `Kitestring cannot start because of an internal error (${error instanceof Error ? error.constructor.name : typeof error}): see the log for its location.`;
}
