import { type Config, readConfig } from './config.ts';
import { openLog } from './log.ts';
import { start } from './start.ts';
import { StartupError } from './storage/startup-error.ts';

/** Runs the server until a signal ends it. A start that fails ends with one sentence and exit code 1. */
export async function main(): Promise<void> {
  try {
    const config: Config = readConfig();
    const terminal = process.stdout.isTTY;
    const log = await openLog({ level: config.logLevel, pretty: terminal });
    const app = await start(config, log, { terminal });
    let ending = false;
    const end = async (signal: NodeJS.Signals) => {
      if (ending) return;
      ending = true;
      log.info({ signal }, 'ending');
      await app.close();
      process.exit(0);
    };
    process.on('SIGTERM', end).on('SIGINT', end);
  } catch (error) {
    if (!(error instanceof StartupError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}
