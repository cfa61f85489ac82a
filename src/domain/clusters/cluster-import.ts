import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import { yieldNow } from '../../event-loop.ts';
import type { ContextReading } from '../../kubernetes/kubeconfig/kubeconfig.ts';
import { FAST_MS, FAST_SLOTS } from '../../kubernetes/prober/probe-scheduler.ts';
import type { Transaction } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import type { Caller } from '../access/caller.ts';
import type { ClusterQuery } from '../access/clusters.ts';
import { readableClusters, requireActionOnAll } from '../access/permissions.ts';
import { auditRow, record } from '../audit/record.ts';
import { initialStatus } from '../cluster-status.ts';
import {
  type Credential,
  columnsOf,
  columnsOfNew,
  credentialOf,
  IN_CLUSTER_CREDENTIAL,
  MISSING_CREDENTIAL,
  problemOf,
} from '../credentials/credential.ts';
import { parseKubeconfig, type Verification } from '../credentials/credential-input.ts';
import { DomainError, type InputIssue } from '../errors.ts';
import { type ChangeStamp, changeRegistry } from '../registry-change.ts';
import { searchText } from '../text.ts';
import { throwIfInvalid } from '../validation.ts';
import { type ClusterServices, testCredential } from './changed-cluster.ts';
import { nameProblem } from './cluster.ts';
import {
  decideOutcomes,
  findExistingByName,
  type ImportClusters,
  type ImportedContext,
  type ImportOutcome,
} from './import-decisions.ts';
import { findDuplicates } from './warnings.ts';

/** Milliseconds within which connection tests may start; contexts not reached by then are refused. */
const START_TESTS_MS = 60_000;

/** Updates before the import yields to the event loop; each takes about five statements. */
const UPDATES_AT_ONCE = 10;

/** Most unknown context names that an error lists. */
const MAX_UNKNOWN = 20;

/** Rows per statement: planning a thousand at once takes longer and blocks other requests meanwhile. */
const ROWS_AT_ONCE = 100;

interface Candidate {
  readonly name: string;
  readonly description: string;
  readonly credential: Credential;
  refusal?: string | undefined;
  /** The cluster's identity; known only after a connection test. */
  identity?: string | null | undefined;
}

/** Imports the contexts of a kubeconfig as clusters named after them, in one transaction. */
export class ClusterImport {
  readonly #services: ClusterServices;

  constructor(services: ClusterServices) {
    this.#services = services;
  }

  /**
   * Returns the outcome of each context; for a dry run, the outcome it would have. Waits up to one second until the imported
   * clusters have been probed. `charge` is called with the number of contexts before they cost more than parsing.
   * Throws FORBIDDEN, INVALID_INPUT with paths, REGISTRY_NOT_EMPTY; with FAIL also NAME_TAKEN.
   */
  run(caller: Caller, input: ImportClusters, query: ClusterQuery, charge: (contexts: number) => void = () => {}) {
    const run = () => this.#run(caller, input, query, charge);
    return this.#services.registry.audit.recordIfRefused(caller, 'cluster.import', run);
  }

  async #run(caller: Caller, input: ImportClusters, query: ClusterQuery, charge: (contexts: number) => void) {
    const began = performance.now();
    requireActionOnAll(caller, 'clusters.import');
    if (input.inCluster) requireActionOnAll(caller, 'clusters.in-cluster');
    if (!input.inCluster && !input.kubeconfig)
      throwIfInvalid([{ path: ['kubeconfig'], message: 'is required when inCluster is false' }]);
    const { registry, fleet } = this.#services;
    const { database } = registry;
    if (input.onlyIfEmpty) await findExistingByName(database.prisma, input);
    const { candidates, current } = await this.#candidates(caller, input);
    charge(candidates.length);
    if (input.verify === 'CONNECT') await this.#testAll(candidates);
    // The connection tests may take long, in which the caller's permissions may have changed.
    const now = input.verify === 'CONNECT' ? await caller.refresh() : caller;
    const importer = requireActionOnAll(now, 'clusters.import');
    if (input.dryRun) {
      const { results } = await decideOutcomes(database.prisma, now, candidates, input);
      return {
        contexts: results.map((result) => ({ ...result, cluster: null })),
        warnings: await findDuplicates(database.prisma, now, toNewClusters(candidates, results)),
      };
    }
    const { uids, ...imported } = await changeRegistry(registry, importer, async (tx, stamp) => {
      const { results, isEmpty } = await decideOutcomes(tx, now, candidates, input);
      const decided = (outcome: ImportOutcome) => candidates.filter((_, index) => results[index]?.outcome === outcome);
      const creating = decided('CREATED');
      const defaultName = isEmpty ? initialDefault(creating, current) : undefined;
      const changed: { uid: string }[] = [];
      for (const [index, candidate] of decided('UPDATED').entries()) {
        changed.push(await this.#update(tx, now, stamp, candidate));
        if (index % UPDATES_AT_ONCE === 0) await yieldNow();
      }
      for (let begin = 0; begin < creating.length; begin += ROWS_AT_ONCE) {
        const batch = creating.slice(begin, begin + ROWS_AT_ONCE);
        changed.push(...(await this.#create(tx, now, stamp, batch, defaultName)));
        await yieldNow();
      }
      return {
        contexts: await withClusters(tx, now, results, query),
        warnings: await findDuplicates(tx, now, toNewClusters(candidates, results)),
        uids: changed.map(({ uid }) => uid),
      };
    });
    await fleet.waitForFirstProbes(uids, began);
    return imported;
  }

  /** Tests the connection of each candidate. A failed test refuses the candidate, like an unusable kubeconfig. */
  async #testAll(candidates: Candidate[]): Promise<void> {
    const end = performance.now() + START_TESTS_MS;
    const started: Promise<void>[] = [];
    await pLimit(FAST_SLOTS).map(candidates, async (candidate) => {
      if (performance.now() < end) {
        const test = this.#test(candidate);
        started.push(test);
        // Like the prober: a cluster that does not answer delays the others by FAST_MS at most.
        await Promise.race([test, sleep(FAST_MS, undefined, { ref: false })]);
      } else
        candidate.refusal ??=
          'the connection was not tested because testing the contexts before it took too long: import fewer contexts at a time';
    });
    await Promise.all(started);
  }

  async #test(candidate: Candidate): Promise<void> {
    if (candidate.refusal !== undefined) return;
    try {
      candidate.identity = (await testCredential(this.#services, candidate.credential)).identity;
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      candidate.refusal = error.message;
    }
  }

  /** Returns the contexts to import, each with its credential or the reason for its refusal. */
  async #candidates(
    caller: Caller,
    { kubeconfig, inCluster, contexts, verify }: ImportClusters,
  ): Promise<{ candidates: Candidate[]; current?: string | undefined }> {
    if (inCluster) {
      const description = 'Kubernetes in-cluster config';
      return { candidates: [{ name: 'in-cluster', description, credential: IN_CLUSTER_CREDENTIAL }] };
    }
    const issues: InputIssue[] = [];
    const issue = (path: string, message: string) => issues.push({ path: [path], message });
    const reading = await parseKubeconfig(caller, kubeconfig ?? '', this.#services.registry.policy);
    if (reading.problem !== undefined) issue('kubeconfig', reading.problem);
    const all = reading.contexts ?? [];
    const known = new Set(all.map(({ name }) => name));
    const unknown = (contexts ?? []).filter((context) => !known.has(context));
    for (const context of unknown.slice(0, MAX_UNKNOWN))
      issue('contexts', `no context is named ${JSON.stringify(context.slice(0, 253))}`);
    if (unknown.length > MAX_UNKNOWN) issue('contexts', `${unknown.length - MAX_UNKNOWN} more contexts do not exist`);
    const chosen = contexts && new Set(contexts);
    const wanted = chosen ? all.filter(({ name }) => chosen.has(name)) : all;
    const candidates = wanted.map((context) => candidateOf(context, verify));
    if (verify === 'NONE') for (const { refusal } of candidates) if (refusal) issue('kubeconfig', refusal);
    throwIfInvalid(issues);
    return { candidates, current: reading.contexts && reading.current };
  }

  async #create(
    tx: Transaction,
    caller: Caller,
    { at, registryChange }: ChangeStamp,
    candidates: readonly Candidate[],
    defaultName: string | undefined,
  ) {
    const rows = await tx.cluster.createManyAndReturn({
      data: candidates.map(({ name, description, credential }) => ({
        ...{ name, description, isDefault: name === defaultName },
        ...columnsOf(credential),
        ...initialStatus({ enabled: true, problem: problemOf(credential) }),
        searchText: searchText({ name, description }),
        ...{ createdAt: at, updatedAt: at, stateSince: at, registryChange },
      })),
      select: { id: true, uid: true, name: true },
    });
    const credentials = new Map(candidates.map(({ name, credential }) => [name, credential]));
    const credentialFor = (name: string) => credentials.get(name) ?? MISSING_CREDENTIAL;
    await this.#services.credentials.add(
      tx,
      rows.map(({ name, ...row }) => ({ ...row, credential: credentialFor(name) })),
    );
    const action = 'cluster.import';
    await tx.auditRecord.createMany({
      data: rows.map((cluster) => auditRow(caller, { action, at, cluster, changes: { name: { to: cluster.name } } })),
    });
    return rows;
  }

  async #update(tx: Transaction, caller: Caller, { at, registryChange }: ChangeStamp, { name, credential }: Candidate) {
    const current = await tx.cluster.findUniqueOrThrow({ where: { name } });
    const { id, uid, enabled } = current;
    const replaced = await this.#services.credentials.replace(tx, current, { credential });
    if (!replaced) return { uid };
    const revision = { revision: { increment: 1 }, updatedAt: at, registryChange };
    await tx.cluster.update({ where: { id }, data: { ...columnsOfNew(replaced, { enabled, at }), ...revision } });
    await record(tx, caller, { action: 'cluster.import', at, cluster: current, changes: { credential: 'changed' } });
    return { uid };
  }
}

function candidateOf(context: ContextReading, verify: Verification): Candidate {
  const { name, problem } = context;
  const invalid = nameProblem(name);
  const refusal = invalid
    ? `the context's name is not a valid cluster name: it ${invalid}`
    : verify === 'NONE'
      ? undefined
      : problem;
  return { name, description: '', credential: credentialOf(context, context.kubeconfig), refusal };
}

/** The candidates that are created or updated, as input for the search for duplicates. */
function toNewClusters(candidates: readonly Candidate[], results: readonly ImportedContext[]) {
  return candidates
    .filter((_, index) => ['CREATED', 'UPDATED'].includes(results[index]?.outcome ?? ''))
    .map(({ name, credential, identity }) => ({ name, apiServer: credential.apiServer ?? null, identity }));
}

/**
 * Returns the default of a registry that was empty: the current context, or the first one if the current is not
 * imported.
 */
function initialDefault(created: readonly Candidate[], current: string | undefined): string | undefined {
  return created.some(({ name }) => name === current) ? current : created[0]?.name;
}

/** Adds the cluster to each result: always if this import created it, else only if the caller may read it. */
async function withClusters(tx: Transaction, caller: Caller, results: readonly ImportedContext[], query: ClusterQuery) {
  const namesOf = (...outcomes: ImportOutcome[]) =>
    results.flatMap(({ context, outcome }) => (outcomes.includes(outcome) ? [context] : []));
  const select = { ...query.select, name: true };
  const find = (names: string[], where: Prisma.ClusterWhereInput) =>
    tx.cluster.findMany({ select, where: { AND: [{ name: { in: names } }, where] } });
  const clusters = new Map<string, Awaited<ReturnType<typeof find>>[number]>();
  const add = async (names: string[], where: Prisma.ClusterWhereInput) => {
    for (let begin = 0; begin < names.length; begin += ROWS_AT_ONCE) {
      for (const cluster of await find(names.slice(begin, begin + ROWS_AT_ONCE), where))
        clusters.set(cluster.name, cluster);
      await yieldNow();
    }
  };
  await add(namesOf('CREATED'), {});
  await add(namesOf('UPDATED', 'SKIPPED'), readableClusters(caller));
  return results.map((result) => ({ ...result, cluster: clusters.get(result.context) ?? null }));
}
