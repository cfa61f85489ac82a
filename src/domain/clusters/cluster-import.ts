import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { ContextReading } from '../../kubernetes/kubeconfig.ts';
import { FAST_MS, FAST_SLOTS } from '../../kubernetes/probe-scheduler.ts';
import type { Transaction } from '../../storage/database.ts';
import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { readableClusters, refreshCaller, requireActionOnAll } from '../access/permissions.ts';
import type { Caller } from '../access/viewer.ts';
import { auditRow, record } from '../audit.ts';
import { DomainError, type InputIssue } from '../errors.ts';
import { initialStatus, nameProblem, throwIfInvalid } from './cluster.ts';
import type { ClusterQuery } from './cluster-list.ts';
import { testConnection } from './cluster-probes.ts';
import {
  credentialOf,
  IN_CLUSTER_CREDENTIAL,
  type ReadCredential,
  readGivenKubeconfig,
  resetForNewCredential,
  targetOf,
  type Verification,
} from './credential.ts';
import { storeCredentialChange } from './credential-change.ts';
import type { Fleet } from './fleet.ts';
import {
  decideAll,
  existingByName,
  type ImportedContext,
  type ImportOutcome,
  type OnNameTaken,
} from './import-decisions.ts';
import { type ChangeContext, type ChangeStamp, changeRegistry, kubeconfigPlace } from './registry-change.ts';
import { searchText } from './search.ts';
import { findDuplicates } from './warnings.ts';

/** Milliseconds in which contexts are begun to be tried. */
const TRIALS_MS = 60_000;

/** Updates between two turns of the event loop; each takes some five statements. */
const UPDATES_AT_ONCE = 10;

/** Names of contexts that do not exist which an error lists. */
const MAX_UNKNOWN = 20;

/** Rows of one statement: planning a thousand at once takes longer, and keeps everybody else waiting. */
const ROWS_AT_ONCE = 100;

export interface ImportClusters {
  readonly kubeconfig?: string | null | undefined;
  /** Makes the one cluster `in-cluster` instead of reading a kubeconfig. */
  readonly inCluster: boolean;
  /** Takes these contexts alone; absent: every one. */
  readonly contexts?: readonly string[] | null | undefined;
  readonly onNameTaken: OnNameTaken;
  readonly dryRun: boolean;
  /** The first set-up: refused with REGISTRY_NOT_EMPTY as soon as one cluster exists. */
  readonly onlyIfEmpty: boolean;
  /** NONE stores contexts that cannot be used as well; SYNTAX answers REFUSED for them. */
  readonly verify: Verification;
}

interface Candidate {
  readonly name: string;
  readonly description: string;
  readonly read?: ReadCredential | undefined;
  refusal?: string | undefined;
  /** Known where the cluster was asked. */
  identity?: string | null | undefined;
}

/** Imports the contexts of a kubeconfig as clusters named after them, in one transaction. */
export class ClusterImport {
  readonly #registry: ChangeContext;
  readonly #fleet: Pick<Fleet, 'testConnection' | 'inCluster' | 'settle'>;

  constructor(registry: ChangeContext, fleet: Pick<Fleet, 'testConnection' | 'inCluster' | 'settle'>) {
    this.#registry = registry;
    this.#fleet = fleet;
  }

  /**
   * Gives what became of each context, and of a dry run what would; clusters that were made are waited for until they have
   * been tried, a second at most. `charge` is told the number of contexts before any of them costs more than reading it.
   * FORBIDDEN; INVALID_INPUT by path; REGISTRY_NOT_EMPTY; NAME_TAKEN with FAIL.
   */
  async run(caller: Caller, input: ImportClusters, query: ClusterQuery, charge: (contexts: number) => void = () => {}) {
    const began = performance.now();
    requireActionOnAll(caller, 'clusters.import');
    if (input.inCluster) requireActionOnAll(caller, 'clusters.in-cluster');
    if (!input.inCluster && !input.kubeconfig)
      throwIfInvalid([{ path: ['kubeconfig'], message: 'is required when inCluster is false' }]);
    if (input.onlyIfEmpty) await existingByName(this.#registry.database.prisma, input);
    const { candidates, current } = await this.#candidates(caller, input);
    charge(candidates.length);
    if (input.verify === 'CONNECT') await this.#tryOut(candidates);
    // Asking clusters takes its time.
    const now = input.verify === 'CONNECT' ? await refreshCaller(caller) : caller;
    requireActionOnAll(now, 'clusters.import');
    const { database } = this.#registry;
    if (input.dryRun) {
      const { results } = await decideAll(database.prisma, now, candidates, input);
      return {
        contexts: results.map((result) => ({ ...result, cluster: null })),
        warnings: await findDuplicates(database.prisma, now, registering(candidates, results)),
      };
    }
    const { uids, ...imported } = await changeRegistry(this.#registry, now, async (tx, moment) => {
      const { results, isEmpty } = await decideAll(tx, now, candidates, input);
      const decided = (outcome: ImportOutcome) => candidates.filter((_, index) => results[index]?.outcome === outcome);
      const creating = decided('CREATED');
      const target = isEmpty ? firstDefault(creating, current) : undefined;
      const changed: { uid: string }[] = [];
      for (const [index, candidate] of decided('UPDATED').entries()) {
        changed.push(await this.#update(tx, now, moment, candidate));
        if (index % UPDATES_AT_ONCE === 0) await nextTurn();
      }
      for (let begin = 0; begin < creating.length; begin += ROWS_AT_ONCE) {
        const part = creating.slice(begin, begin + ROWS_AT_ONCE);
        changed.push(...(await this.#create(tx, now, moment, part, target)));
        await nextTurn();
      }
      return {
        contexts: await withClusters(tx, now, results, query),
        warnings: await findDuplicates(tx, now, registering(candidates, results)),
        uids: changed.map(({ uid }) => uid),
      };
    });
    await this.#fleet.settle(uids, began);
    return imported;
  }

  /** With CONNECT a context whose cluster cannot be reached is refused like one that cannot be used. */
  async #tryOut(candidates: Candidate[]): Promise<void> {
    const end = performance.now() + TRIALS_MS;
    const waiting = candidates.values();
    const begun: Promise<void>[] = [];
    const tryNext = async () => {
      for (const candidate of waiting) {
        if (performance.now() < end) {
          const trial = this.#try(candidate);
          begun.push(trial);
          // As the prober has it: one that is silent holds the others up no longer.
          await Promise.race([trial, sleep(FAST_MS, undefined, { ref: false })]);
        } else candidate.refusal ??= 'it was not tried: the contexts before it took too long, import fewer at a time';
      }
    };
    await Promise.all(Array.from({ length: FAST_SLOTS }, tryNext));
    await Promise.all(begun);
  }

  async #try(candidate: Candidate): Promise<void> {
    if (candidate.refusal !== undefined) return;
    const { read } = candidate;
    const find = async () => (read ? { target: targetOf(read) } : this.#fleet.inCluster());
    try {
      candidate.identity = (await testConnection(this.#fleet, find)).identity;
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      candidate.refusal = error.message;
    }
  }

  /** The contexts to import, each with its credential or the reason why it is refused. */
  async #candidates(
    caller: Caller,
    { kubeconfig, inCluster, contexts, verify }: ImportClusters,
  ): Promise<{ candidates: Candidate[]; current?: string | undefined }> {
    if (inCluster) return { candidates: [{ name: 'in-cluster', description: 'Kubernetes in-cluster config' }] };
    const issues: InputIssue[] = [];
    const issue = (path: string, message: string) => issues.push({ path: [path], message });
    const reading = await readGivenKubeconfig(caller, kubeconfig ?? '', this.#registry.policy);
    if (reading.problem !== undefined) issue('kubeconfig', reading.problem);
    const all = reading.contexts ?? [];
    const known = new Set(all.map(({ name }) => name));
    const unknown = (contexts ?? []).filter((context) => !known.has(context));
    for (const context of unknown.slice(0, MAX_UNKNOWN))
      issue('contexts', `no context is named ${JSON.stringify(context.slice(0, 253))}`);
    if (unknown.length > MAX_UNKNOWN) issue('contexts', `${unknown.length - MAX_UNKNOWN} more name no context`);
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
    target: string | undefined,
  ) {
    const rows = await tx.cluster.createManyAndReturn({
      data: candidates.map(({ name, description, read }) => {
        const facts = read?.facts ?? IN_CLUSTER_CREDENTIAL;
        return {
          ...{ name, description, inCluster: read === undefined, isDefault: name === target },
          ...facts,
          ...initialStatus({ enabled: true, problem: facts.credentialProblem }),
          searchText: searchText({ name, description }),
          ...{ createdAt: at, updatedAt: at, stateSince: at, registryChange },
        };
      }),
      select: { id: true, uid: true, name: true },
    });
    const reads = new Map(candidates.map(({ name, read }) => [name, read]));
    const { seal } = this.#registry;
    const sealed = seal.sealer();
    await tx.clusterCredential.createMany({
      data: rows.flatMap(({ id, uid, name }) => {
        const read = reads.get(name);
        return read
          ? [{ clusterId: id, sealed: sealed(read.kubeconfig, kubeconfigPlace(uid)), keyId: seal.keyId }]
          : [];
      }),
    });
    const action = 'cluster.import';
    await tx.auditRecord.createMany({
      data: rows.map((cluster) => auditRow(caller, { action, at, cluster, changes: { name: { to: cluster.name } } })),
    });
    return rows;
  }

  async #update(tx: Transaction, caller: Caller, { at, registryChange }: ChangeStamp, { name, read }: Candidate) {
    const current = await tx.cluster.findUniqueOrThrow({ where: { name } });
    const { id, uid, enabled } = current;
    const facts = await storeCredentialChange(tx, this.#registry, current, {
      inCluster: read === undefined,
      leavesCluster: false,
      read,
    });
    if (!facts) return { uid };
    const revision = { revision: { increment: 1 }, updatedAt: at, registryChange };
    await tx.cluster.update({ where: { id }, data: { ...resetForNewCredential(facts, { enabled, at }), ...revision } });
    await record(tx, caller, { action: 'cluster.import', at, cluster: current, changes: { credential: 'changed' } });
    return { uid };
  }
}

function candidateOf(context: ContextReading, verify: Verification): Candidate {
  const { name, problem } = context;
  const invalid = nameProblem(name);
  if (invalid) return { name, description: '', refusal: `the context's name cannot name a cluster: it ${invalid}` };
  if (problem !== undefined && verify !== 'NONE') return { name, description: '', refusal: problem };
  return { name, description: '', read: credentialOf(context, context.kubeconfig) };
}

/** What is, or would be, registered or given another credential. */
function registering(candidates: readonly Candidate[], results: readonly ImportedContext[]) {
  return candidates
    .filter((_, index) => ['CREATED', 'UPDATED'].includes(results[index]?.outcome ?? ''))
    .map(({ name, read, identity }) => ({ name, apiServer: read?.facts.apiServer ?? null, identity }));
}

/** Into an empty registry the current context becomes the default, or the first one where that is not imported. */
function firstDefault(created: readonly Candidate[], current: string | undefined): string | undefined {
  return created.some(({ name }) => name === current) ? current : created[0]?.name;
}

/** Adds the cluster to each result: what was created just now to its creator, any other to callers who may read it. */
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
      await nextTurn();
    }
  };
  await add(namesOf('CREATED'), {});
  await add(namesOf('UPDATED', 'SKIPPED'), readableClusters(caller));
  return results.map((result) => ({ ...result, cluster: clusters.get(result.context) ?? null }));
}
