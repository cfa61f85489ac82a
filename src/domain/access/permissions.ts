import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { DomainError } from '../errors.ts';
import type { Caller, Grant, Viewer } from './viewer.ts';

/** What one can do in Kitestring. */
export const ACTIONS = [
  'clusters.read',
  'clusters.live',
  'clusters.create',
  'clusters.update',
  'clusters.delete',
  'clusters.import',
  'clusters.in-cluster',
  'access.manage',
  'audit.read',
  'metrics.read',
  'rest.use',
] as const;
export type Action = (typeof ACTIONS)[number];

/** An action as both surfaces spell it, such as `CLUSTERS_READ`. */
export function actionName(action: string): string {
  return action.replaceAll(/[.-]/g, '_').toUpperCase();
}

/** Actions that a role of one's own may give, for some clusters or for all; the rest is the admin's. */
export const GRANTABLE = [
  'clusters.read',
  'clusters.live',
  'clusters.update',
  'clusters.delete',
  'audit.read',
] as const;

/** Which built-in role may do what: every decision of the product is a look into a viewer's grants. */
const BUILT_IN: Readonly<Record<string, Grant>> = {
  admin: { actions: new Set<Action>(ACTIONS) },
  viewer: { actions: new Set<Action>(['clusters.read']) },
};

export const BUILT_IN_ROLES = Object.keys(BUILT_IN);

/** What a built-in role gives; undefined for any other. */
export function builtInGrant(role: string): Grant | undefined {
  return Object.hasOwn(BUILT_IN, role) ? BUILT_IN[role] : undefined;
}

/** Whether any of the viewer's grants holds the action, for whatever clusters. */
export function hasActionOnSome(viewer: Viewer, action: Action): boolean {
  return viewer.grants.some(({ actions }) => actions.has(action));
}

/** Whether the viewer holds the action for every cluster, also for those that are yet to come. */
export function hasActionOnAll(viewer: Viewer, action: Action): boolean {
  return viewer.grants.some(({ actions, clusters }) => actions.has(action) && clusters === undefined);
}

/** What a stranger is told. */
export const SIGN_IN_FIRST = 'Sign in first, or send an API key as Authorization';

/** Returns the viewer, or refuses a stranger with UNAUTHENTICATED. */
export function requireViewer(caller: Caller): Viewer {
  if (!caller.viewer) throw new DomainError('UNAUTHENTICATED', SIGN_IN_FIRST);
  return caller.viewer;
}

/** Returns the viewer, or refuses: UNAUTHENTICATED for a stranger, FORBIDDEN without the action. */
export function requireActionOnSome(caller: Caller, action: Action): Viewer {
  const viewer = requireViewer(caller);
  if (!hasActionOnSome(viewer, action)) throw forbidden();
  return viewer;
}

/** As `authorize`, for what is not about clusters that are there already. */
export function requireActionOnAll(caller: Caller, action: Action): Viewer {
  const viewer = requireViewer(caller);
  if (!hasActionOnAll(viewer, action)) throw forbidden();
  return viewer;
}

/** The caller after a wait, in which a key may have been revoked or a role taken away. */
export async function refreshCaller(caller: Caller): Promise<Caller> {
  return caller.refresh ? caller.refresh() : caller;
}

/** The refusal of everything that needs more than the viewer's roles give. */
export function forbidden(): DomainError {
  return new DomainError('FORBIDDEN', 'Admin role required');
}

/** The grants that hold the action for some clusters. */
export function scopesOf(caller: Caller, action: Action): (Grant & { readonly clusters: object })[] {
  return requireViewer(caller).grants.flatMap((grant) =>
    grant.actions.has(action) && grant.clusters ? [{ ...grant, clusters: grant.clusters }] : [],
  );
}

/** The filter that leaves only the clusters for which the viewer holds the action. */
export function clustersWithAction(caller: Caller, action: Action): Prisma.ClusterWhereInput {
  const viewer = requireViewer(caller);
  if (hasActionOnAll(viewer, action)) return {};
  const scopes = scopesOf(caller, action).map(({ clusters }) => clusters);
  return scopes.length === 0 ? { id: { in: [] } } : { OR: scopes };
}

/** The filter that leaves only the clusters the viewer may read. What one may not see does not exist. */
export function readableClusters(caller: Caller): Prisma.ClusterWhereInput {
  return clustersWithAction(caller, 'clusters.read');
}

/** Whether the viewer may read the whole registry; refuses a stranger. */
export function canReadEveryCluster(caller: Caller): boolean {
  return hasActionOnAll(requireViewer(caller), 'clusters.read');
}
