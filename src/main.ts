import { constants } from 'node:os';
import type { App } from './app.ts';
import { readConfig } from './config.ts';
import { type Logger, openLog } from './log.ts';
import { start } from './start.ts';
import { StartupError } from './storage/startup-error.ts';

/** When an end that hangs is cut short: orchestrators kill after ten seconds. */
const LAST_MS = 9_500;

/** Runs the server until a signal ends it. A start that fails ends with one sentence and exit code 1. */
export async function main(): Promise<void> {
  let log: Logger | undefined;
  let app: App | undefined;
  let ending = false;
  // From the first moment on: process 1 of a container has no default for signals.
  const end = async (signal: NodeJS.Signals) => {
    if (!app || ending) process.exit(128 + constants.signals[signal]);
    ending = true;
    setTimeout(() => process.exit(1), LAST_MS).unref();
    log?.info({ signal }, 'ending');
    await app.close();
    process.exit(0);
  };
  process.on('SIGTERM', end).on('SIGINT', end);
  process.on('uncaughtException', (error) => {
    log?.fatal({ err: error }, 'ending: an error that nothing handles');
    process.exit(1);
  });
  try {
    const config = readConfig();
    const terminal = process.stdout.isTTY;
    log = await openLog({ level: config.logLevel, pretty: terminal });
    app = await start(config, log, { terminal });
  } catch (error) {
    const fault = error instanceof StartupError ? error.cause : error;
    if (fault !== undefined) log?.fatal({ err: fault }, 'the start failed');
    console.error(error instanceof StartupError ? error.message : unexpected(error));
    process.exit(1);
  }
}

// The message stays out: it may quote what was given.
function unexpected(error: unknown): string {
  return `Kitestring cannot start because of a fault of its own (${error instanceof Error ? error.constructor.name : typeof error}): the log says where.`;
}
