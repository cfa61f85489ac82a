import { existsSync } from 'node:fs';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type App, type Domain, openDomain, serve, serveMetrics } from './app.ts';
import { startBackgroundJobs } from './background-jobs.ts';
import type { Config } from './config.ts';
import { systemCaller } from './domain/access/system-caller.ts';
import { DomainError } from './domain/errors.ts';
import type { Logger } from './log.ts';
import { makeDirectory } from './storage/directory.ts';
import { removeAbandonedDrafts } from './storage/key-file.ts';
import { removeAbandonedRestores } from './storage/sqlite/restore-directory.ts';
import { StartupError } from './storage/startup-error.ts';

/** Starts Kitestring: the domain, the keys and the import that the configuration declares, the server, and what to tell. */
export async function start(config: Config, log: Logger, { terminal }: { terminal: boolean }): Promise<App> {
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
    // Only now: what is shown once must not be shown by a start that fails.
    await makeFirstKey(config, log, domain, terminal);
    await offerSetUp(config, log, domain, terminal);
    const stopChores = startBackgroundJobs(config, log, domain);
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
        // With the use of keys by the last requests; a database that stands still keeps nothing else from ending.
        await stopChores();
        await app.close();
      },
    };
  } catch (error) {
    await domain.close();
    throw error;
  }
}

/** A port that nobody asked for may be another Kitestring's: that costs the metrics there, and not the start. */
async function startMetrics(config: Config, log: Logger, domain: Domain): Promise<() => Promise<void>> {
  if (config.metrics.port === 0) return async () => {};
  try {
    return await serveMetrics(config, log, domain);
  } catch (error) {
    if (config.metrics.asked || !(error instanceof StartupError)) throw error;
    log.warn({ reason: error.message }, 'the metrics are on the main port alone');
    return async () => {};
  }
}

/** Removes what killed commands have left in the data directory: copies of the database and of the key file. */
function removeLeftovers({ dataDir }: Config, log: Logger): void {
  for (const remove of [removeAbandonedRestores, () => removeAbandonedDrafts(join(dataDir, 'seal-keys'))]) {
    try {
      const removed = remove(dataDir);
      if (removed.length > 0) log.info({ dataDir, removed }, 'removed what a killed command has left');
    } catch (error) {
      log.warn({ err: error, dataDir }, 'what a killed command has left cannot be removed');
    }
  }
}

async function declareKey(config: Config, log: Logger, { apiKeys }: Domain): Promise<void> {
  const { weak } = await explained(() => apiKeys.declare(systemCaller('configuration'), config.adminApiKey));
  if (weak)
    log.warn(
      'ADMIN_API_KEY is weak (under 128 bits): it is accepted on loopback alone; replace its secret with one from: openssl rand -hex 32',
    );
}

async function makeFirstKey(config: Config, log: Logger, { apiKeys }: Domain, terminal: boolean): Promise<void> {
  await apiKeys.ensureFirst(systemCaller('configuration'), async (key) => {
    if (terminal) process.stdout.write(`\n  Your admin API key, shown this once:\n\n    ${key}\n\n`);
    else {
      const file = await keepSecret(join(config.dataDir, 'admin-api-key'), key);
      log.info({ file }, 'the first admin API key was made; this file holds it');
    }
  });
}

/** Where others can reach it, whoever makes the first person must know a code that only the one who starts it sees. */
async function offerSetUp(config: Config, log: Logger, { setUp }: Domain, terminal: boolean): Promise<void> {
  const path = join(config.dataDir, 'setup-code');
  // Once somebody exists, that of an earlier start is of no use.
  await rm(path, { force: true });
  // Also where a proxy on this machine passes on what others ask.
  const isLocal = config.loopback && config.trustedProxies.length === 0;
  const code = isLocal ? undefined : await setUp.makeCode();
  if (code === undefined) return;
  if (terminal)
    process.stdout.write(`\n  The set-up code for the first user, good until somebody exists:\n\n    ${code}\n\n`);
  else log.info({ file: await keepSecret(path, code) }, 'nobody exists yet: this file holds the set-up code');
}

async function keepSecret(path: string, secret: string): Promise<string> {
  try {
    makeDirectory(dirname(path));
    await setAside(path);
    await using file = await open(path, 'wx', 0o600);
    await file.writeFile(`${secret}\n`);
    await file.sync();
    return path;
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : 'unknown';
    throw new StartupError(`${path} cannot be written (${code}): make its directory writable, or set DATA_DIR.`);
  }
}

/** What is there may be the only copy of another registry's secret: this start may have been given the wrong database. */
async function setAside(path: string): Promise<void> {
  if (!existsSync(path)) return;
  let copy = 1;
  while (existsSync(`${path}.${copy}`)) copy++;
  await rename(path, `${path}.${copy}`);
}

async function importKubeconfig(path: string, log: Logger, { clusterImport, database }: Domain): Promise<void> {
  // Later starts need the file no more.
  if ((await database.prisma.cluster.count()) > 0) return;
  const kubeconfig = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new StartupError(`IMPORT_KUBECONFIG names ${path}, which cannot be read (${error.code}).`);
  });
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
      if (problem) log.warn({ context, problem }, 'imported, but it cannot be used');
      else log.info({ context }, 'imported');
    }
  } catch (error) {
    if (error instanceof DomainError && error.code === 'REGISTRY_NOT_EMPTY') return;
    throw error instanceof DomainError ? new StartupError(`IMPORT_KUBECONFIG: ${error.message}.`) : error;
  }
}

/** A refusal of the domain, as the one sentence that a start ends with. */
async function explained<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw error instanceof DomainError ? new StartupError(`${error.message}.`) : error;
  }
}
