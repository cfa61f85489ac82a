import { caller, openBenchDomain } from '../../bench/seed.ts';
import { searchText } from '../../src/domain/text.ts';
import { encodeGlobalId } from '../../src/graphql/global-id.ts';
import type { ApiServers } from './api-servers.ts';

const CLUSTERS = 2_000;
/** Clusters that the stand-ins serve. They have the lowest database ids, so that a page starts with them. */
const LIVE = 14;
/** The first clusters, which most pages show, have descriptions near the length limit. */
const LONG = 400;
const AUDIT_RECORDS = 20_000;
const USERS = 20;
/** API keys with the lowest ids, which requests may revoke. The callers' own keys have higher ids. */
const SPARE_KEYS = 20;
export const SERVERS_IN_REQUESTS = 200;

/** A secret that no response may contain. */
const SECRET = 'zqsec-token';
/** Matches texts that reveal a cluster outside the scope of the role `team-a`; each text names its cluster. */
const HIDDEN = /zqhid-\w+-\d+|127\.77\.\d+\.\d+/g;

/** The roles that the seed defines: one with a few globs, one with many globs, one by label. */
export const ROLES = ['team-a', 'many-globs', 'by-label'];

const ANONYMOUS: FuzzCaller = {
  ...{ name: 'anonymous', headers: {}, seesHidden: false },
  fields: ['viewer', '__schema', '__type', '__typename'],
};
/** For each of three admin keys: the actions that the key is narrowed to, and the root fields that they allow. */
const NARROW: Readonly<Record<string, readonly string[]>> = {
  'clusters.import': ['importClusters'],
  'clusters.create': ['createCluster'],
  'access.manage': ['createApiKey', 'createUser', 'updateUser', 'apiKeys', 'users', 'roles'],
};

const isShown = (index: number) => index < LIVE || index % 4 === 0;
/** The default cluster is outside the scope of every role that the seed defines. */
const DEFAULT = 15;

export const nameOf = (index: number): string => (isShown(index) ? `team-a-${index}` : `zqhid-name-${index}`);
/**
 * Requests contain the addresses of the first 200 clusters. No request contains the addresses of hidden clusters beyond
 * them, so these are canaries.
 */
export const serverOf = (index: number): string => {
  const second = isShown(index) || index < SERVERS_IN_REQUESTS ? 1 : 77;
  return `https://127.${second}.${index >> 8}.${index & 255}:6443`;
};
const uidOf = (index: number) => `00000000-0000-7000-8000-${String(index).padStart(12, '0')}`;
export const globalIdOf = (index: number): string => encodeGlobalId('Cluster', uidOf(index));

/** A caller that the fuzzer sends requests as, and whether it may see the hidden texts (canaries). */
export interface FuzzCaller {
  readonly name: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly seesHidden: boolean;
  /** The root fields that return more than a refusal to this caller; undefined: all of them. */
  readonly fields?: readonly string[];
}

/** The mutation that makes the original default cluster the default again, since some callers may change it. */
export const RESTORE_DEFAULT = `mutation { updateCluster(input: { by: { name: "${nameOf(DEFAULT)}" }, isDefault: true }) { __typename } }`;

/**
 * Fills a registry with clusters that have long descriptions and labels, audit records, users and roles, and creates
 * one key per kind of caller.
 */
export async function seedRegistry(dataDir: string, servers: ApiServers): Promise<FuzzCaller[]> {
  const domain = await openBenchDomain(dataDir);
  const { database, apiKeys, roles, users } = domain;
  for (let at = 0; at < SPARE_KEYS; at++) await apiKeys.create(caller, { name: `spare ${at}`, roles: [] });
  for (let index = 0; index < LIVE; index++)
    await domain.clusters.create(
      caller,
      {
        name: nameOf(index),
        labels: [{ key: 'shown', value: 'yes' }],
        credential: { kubeconfig: { text: kubeconfigFor(servers, index) } },
      },
      { cluster: {} },
    );
  await database.write('registry', async (tx, { registry = 0 }) => {
    const indices = Array.from({ length: CLUSTERS - LIVE }, (_, at) => LIVE + at);
    const made = await tx.cluster.createManyAndReturn({
      data: indices.map((index) => rowOf(index, registry)),
      select: { id: true },
    });
    await tx.clusterLabel.createMany({
      data: made.flatMap(({ id }, at) => labelsOf(indices[at] as number).map((label) => ({ clusterId: id, ...label }))),
    });
    const records = Array.from({ length: AUDIT_RECORDS }, (_, at) => recordOf(at));
    for (let at = 0; at < records.length; at += 1_000)
      await tx.auditRecord.createMany({ data: records.slice(at, at + 1_000) });
  });
  for (let at = 0; at < USERS; at++) await users.create(caller, { username: `user-${at}`, roles: [] });
  const actions = ['clusters.read', 'clusters.live', 'clusters.update', 'clusters.delete', 'audit.read'] as const;
  const define = (name: string, clusters: { names?: string[]; labelSelector?: string }) =>
    roles.define(caller, { name, actions: [...actions], clusters });
  await define('team-a', { names: ['team-a-*'] });
  await define('many-globs', { names: Array.from({ length: 100 }, (_, at) => `*team-a-*${at}*`) });
  await define('by-label', { labelSelector: 'shown=yes' });

  const keyOf = async (name: string, given: string[], scopes?: string[]): Promise<FuzzCaller> => {
    const { text } = await apiKeys.create(caller, { name, roles: given, ...(scopes && { scopes }) });
    return { name, headers: { Authorization: text }, seesHidden: ['admin', 'viewer'].includes(name) };
  };
  const callers = [ANONYMOUS, ANONYMOUS, await keyOf('admin', ['admin']), await keyOf('viewer', ['viewer'])];
  for (const role of ROLES) callers.push(await keyOf(`scoped ${role}`, [role]));
  for (const [scope, fields] of Object.entries(NARROW))
    callers.push({ ...(await keyOf(`${scope} alone`, ['admin'], [scope, 'rest.use'])), fields });
  await domain.close();
  return callers;
}

/**
 * Returns the texts in a response that its caller must not see. Texts that the request itself contains reveal nothing
 * and are ignored.
 */
export function canariesIn(answer: string, sent: string, { seesHidden }: FuzzCaller): string[] {
  const found = seesHidden ? [] : (answer.match(HIDDEN) ?? []).filter((canary) => !sent.includes(canary));
  return [...new Set(found), ...(answer.includes(SECRET) ? [SECRET] : [])];
}

function rowOf(index: number, registryChange: number) {
  const at = new Date(Date.UTC(2026, 0, 1) + index * 60_000);
  const name = nameOf(index);
  const start = isShown(index) ? `staging cluster ${index} ` : `zqhid-description-${index} `;
  const description = start + 'e'.repeat(index < LONG ? 9_900 : 200);
  return {
    ...{ uid: uidOf(index), name, description, searchText: searchText({ name, description }), enabled: false },
    ...{ isDefault: index === DEFAULT, credentialKind: 'TOKEN', apiServer: serverOf(index), registryChange },
    ...{ state: index % 50 === 0 ? 'UNREACHABLE' : 'DISABLED', createdAt: at, updatedAt: at, stateSince: at },
  };
}

const labelsOf = (index: number) => [
  ...(isShown(index) ? [{ key: 'shown', value: 'yes' }] : []),
  { key: 'tier', value: `t${index % 20}` },
  { key: 'size', value: String(index), number: BigInt(index) },
  ...Array.from({ length: 4 }, (_, at) => ({ key: `team-${at}`, value: `v${(index + at) % 5}` })),
];

function recordOf(at: number) {
  const index = LIVE + (at % (CLUSTERS - LIVE));
  return {
    ...{ at: new Date(Date.UTC(2026, 6, 1) + at * 1_000), actor: 'admin', actorId: 'api-key:1', actorName: 'admin' },
    ...{ action: 'cluster.update', clusterUid: uidOf(index), clusterId: index + 1, clusterName: nameOf(index) },
    changes: { description: { from: '', to: isShown(index) ? 'staging' : `zqhid-change-${index}` } },
  };
}

function kubeconfigFor({ ports, ca }: ApiServers, index: number): string {
  const server = `https://127.0.0.1:${ports[Math.max(0, index - (LIVE - ports.length))]}`;
  return JSON.stringify({
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'c' },
    clusters: [{ name: 'c', cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') } }],
    users: [{ name: 'u', user: { token: `${SECRET}-${index}` } }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
  });
}
