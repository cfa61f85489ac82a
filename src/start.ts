import { existsSync } from 'node:fs';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type App, type Domain, openDomain, serve, serveMetrics } from './app.ts';
import { startBackgroundJobs } from './background-jobs.ts';
import type { Config } from './config.ts';
import { sealKeyFile } from './core-services.ts';
import { systemCaller } from './domain/access/system-caller.ts';
import { DomainError, type InputIssue } from './domain/errors.ts';
import { decodeKubeconfig } from './kubernetes/kubeconfig/decode.ts';
import { UnusableKubeconfig } from './kubernetes/kubeconfig/yaml.ts';
import type { Logger } from './log.ts';
import { createDirectory } from './storage/directory.ts';
import { removeAbandonedDrafts } from './storage/key-file.ts';
import { removeAbandonedRestores } from './storage/sqlite/restore-directory.ts';
import { StartupError } from './storage/startup-error.ts';

/**
 * Starts Kitestring: opens the domain, applies the keys and the import of the configuration, starts the server, and
 * shows the first admin key and the setup code.
 */
export async function start(config: Config, log: Logger, { terminal }: { terminal: boolean }): Promise<App> {
  const everyone = config.trustedProxies.find((range) => /\/0+$/.test(range));
  if (everyone !== undefined)
    log.warn(
      `TRUSTED_PROXIES contains ${everyone}, so every client can forge its address: list only the addresses of your proxies`,
    );
  const domain = await openDomain(config, log);
  try {
    removeLeftovers(config, log);
    await declareKey(config, log, domain);
    if (config.importKubeconfig) await importKubeconfig(config.importKubeconfig, log, domain);
    const stopMetrics = await startMetrics(config, log, domain);
    const app = await serve(config, log, domain).catch(async (error: unknown) => {
      await stopMetrics();
      throw error;
    });
    domain.fleet.start();
    // Do this last: a start that fails must not show a secret that is shown only once.
    await createFirstKey(config, log, domain, terminal);
    await offerSetUp(config, log, domain, terminal);
    const stopBackgroundJobs = startBackgroundJobs(config, log, domain);
    log.info(
      {
        ...{ url: app.url, rest: `${app.url}/api/v1/admin/clusters/`, graphql: `${app.url}/graphql` },
        database: domain.database.kind,
      },
      'Kitestring listens',
    );
    return {
      url: app.url,
      close: async () => {
        await Promise.all([stopMetrics(), app.retire()]);
        // Stop the jobs after the last requests, to store their use of keys. If the database does not respond, only
        // this step waits.
        await stopBackgroundJobs();
        await app.close();
      },
    };
  } catch (error) {
    await domain.close();
    throw error;
  }
}

/**
 * If METRICS_PORT is not set explicitly, its default port may belong to another Kitestring. The start then continues
 * without the separate metrics endpoint.
 */
async function startMetrics(config: Config, log: Logger, domain: Domain): Promise<() => Promise<void>> {
  if (config.metrics.port === 0) return async () => {};
  try {
    return await serveMetrics(config, log, domain);
  } catch (error) {
    if (config.metrics.isConfigured || !(error instanceof StartupError)) throw error;
    log.warn({ reason: error.message }, 'cannot open the metrics port: metrics are available only on the main port');
    return async () => {};
  }
}

/** Removes files that killed commands left in the data directory: copies of the database and of the key file. */
function removeLeftovers({ dataDir }: Config, log: Logger): void {
  for (const remove of [removeAbandonedRestores, () => removeAbandonedDrafts(sealKeyFile({ dataDir }))]) {
    try {
      const removed = remove(dataDir);
      if (removed.length > 0) log.info({ dataDir, removed }, 'removed files left by a killed command');
    } catch (error) {
      log.warn({ err: error, dataDir }, 'cannot remove the files left by a killed command');
    }
  }
}

async function declareKey(config: Config, log: Logger, { apiKeys }: Domain): Promise<void> {
  const { weak } = await withStartupError(() => apiKeys.declare(systemCaller('configuration'), config.adminApiKey));
  if (weak)
    log.warn(
      'ADMIN_API_KEY is weak (under 128 bits): it is accepted only on loopback; replace its secret with one from: openssl rand -hex 32',
    );
}

async function createFirstKey(config: Config, log: Logger, { apiKeys }: Domain, terminal: boolean): Promise<void> {
  await apiKeys.ensureFirst(systemCaller('configuration'), async (key) => {
    if (terminal) process.stdout.write(`\n  Your admin API key, shown only now:\n\n    ${key}\n\n`);
    else {
      const file = await writeSecret(join(config.dataDir, 'admin-api-key'), key);
      log.info({ file }, 'created the first admin API key; this file contains it');
    }
  });
}

/**
 * If other machines can reach the server, the first user can be created only with a code that the operator sees at
 * start.
 */
async function offerSetUp(config: Config, log: Logger, { setUp }: Domain, terminal: boolean): Promise<void> {
  const path = join(config.dataDir, 'setup-code');
  // Remove the code of an earlier start, which may be invalid by now.
  await rm(path, { force: true });
  // A proxy on this machine may forward requests of other machines.
  const isLocal = config.loopback && config.trustedProxies.length === 0;
  const code = isLocal ? undefined : await setUp.createCode();
  if (code === undefined) return;
  if (terminal)
    process.stdout.write(`\n  The setup code for the first user, valid until a user exists:\n\n    ${code}\n\n`);
  else log.info({ file: await writeSecret(path, code) }, 'no user exists yet; this file contains the setup code');
}

async function writeSecret(path: string, secret: string): Promise<string> {
  try {
    createDirectory(dirname(path));
    await renameExisting(path);
    await using file = await open(path, 'wx', 0o600);
    await file.writeFile(`${secret}\n`);
    await file.sync();
    return path;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : 'unknown';
    throw new StartupError(`${path} cannot be written (${code}): make its directory writable, or set DATA_DIR.`);
  }
}

/**
 * Renames an existing file. It may contain the only copy of a secret of another registry, if this start uses the wrong
 * database.
 */
async function renameExisting(path: string): Promise<void> {
  if (!existsSync(path)) return;
  let copy = 1;
  while (existsSync(`${path}.${copy}`)) copy++;
  await rename(path, `${path}.${copy}`);
}

async function importKubeconfig(path: string, log: Logger, { clusterImport, database }: Domain): Promise<void> {
  // Check first, so that later starts do not need the file.
  if ((await database.prisma.cluster.count()) > 0) return;
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    throw new StartupError(`IMPORT_KUBECONFIG names ${path}, which cannot be read (${error.code}).`);
  });
  const kubeconfig = decodeFile(path, bytes);
  const choices = {
    inCluster: false,
    onNameTaken: 'SKIP',
    dryRun: false,
    onlyIfEmpty: true,
    verify: 'NONE',
  } as const;
  try {
    const select = { credentialProblem: true };
    const { contexts } = await clusterImport.run(systemCaller('configuration'), { kubeconfig, ...choices }, { select });
    for (const { context, cluster } of contexts) {
      const problem = cluster?.credentialProblem;
      if (problem) log.warn({ context, problem }, 'imported the context, but its credential cannot be used');
      else log.info({ context }, 'imported the context');
    }
  } catch (error) {
    if (error instanceof DomainError && error.code === 'REGISTRY_NOT_EMPTY') return;
    if (!(error instanceof DomainError)) throw error;
    // An issue's path names the field of a request, which a file does not have.
    const issues = error.details.issues as readonly InputIssue[] | undefined;
    const reason = issues?.map(({ message }) => message).join('; ') ?? error.message;
    throw new StartupError(`IMPORT_KUBECONFIG: ${path} cannot be imported: ${reason}.`);
  }
}

function decodeFile(path: string, bytes: Buffer): string {
  try {
    return decodeKubeconfig(bytes);
  } catch (error) {
    throw error instanceof UnusableKubeconfig
      ? new StartupError(`IMPORT_KUBECONFIG: ${path}: ${error.message}.`)
      : error;
  }
}

/** Converts a DomainError to a StartupError, which ends the start with one sentence. */
async function withStartupError<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw error instanceof DomainError ? new StartupError(`${error.message}.`) : error;
  }
}
