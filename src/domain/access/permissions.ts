import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { DomainError } from '../errors.ts';
import { ACTIONS, type Action } from './action.ts';
import type { Caller, Grant, Viewer } from './caller.ts';

/** The grants of the built-in roles. Every authorization decision checks the grants of a viewer. */
const BUILT_IN: Readonly<Record<string, Grant>> = {
  admin: { actions: new Set<Action>(ACTIONS) },
  viewer: { actions: new Set<Action>(['clusters.read']) },
};

export const BUILT_IN_ROLES = Object.keys(BUILT_IN);

/** The grant of a built-in role; undefined for any other role. */
export function builtInGrant(role: string): Grant | undefined {
  return Object.hasOwn(BUILT_IN, role) ? BUILT_IN[role] : undefined;
}

/** Whether the viewer may perform the action on at least some clusters. */
export function hasActionOnSome(viewer: Viewer, action: Action): boolean {
  return viewer.grants.some(({ actions }) => actions.has(action));
}

/** Whether the viewer may perform the action on every cluster, including clusters registered later. */
export function hasActionOnAll(viewer: Viewer, action: Action): boolean {
  return viewer.grants.some(({ actions, clusters }) => actions.has(action) && clusters === undefined);
}

/** The error message for anonymous callers. */
export const SIGN_IN_FIRST = 'Sign in first, or send an API key as Authorization';

/** Returns the viewer. Throws UNAUTHENTICATED for an anonymous caller. */
export function requireViewer(caller: Caller): Viewer {
  if (!caller.viewer) throw new DomainError('UNAUTHENTICATED', SIGN_IN_FIRST);
  return caller.viewer;
}

/**
 * Returns the viewer. Throws UNAUTHENTICATED for an anonymous caller, and FORBIDDEN if the viewer may perform the
 * action on no cluster.
 */
export function requireActionOnSome(caller: Caller, action: Action): Viewer {
  const viewer = requireViewer(caller);
  if (!hasActionOnSome(viewer, action)) throw forbidden();
  return viewer;
}

/**
 * Like `requireActionOnSome`, but the viewer must hold the action for every cluster. Use it for actions that do not
 * target an existing cluster, such as creating one.
 */
export function requireActionOnAll(caller: Caller, action: Action): Viewer {
  const viewer = requireViewer(caller);
  if (!hasActionOnAll(viewer, action)) throw forbidden();
  return viewer;
}

/**
 * Returns the caller with current permissions. Call it after a wait, during which a key may have been revoked or a role
 * removed.
 */
export async function refreshCaller(caller: Caller): Promise<Caller> {
  return caller.refresh ? caller.refresh() : caller;
}

/** The error for an action that the roles of the viewer do not grant. */
export function forbidden(): DomainError {
  return new DomainError('FORBIDDEN', 'Admin role required');
}

/** The grants that include the action and are limited to some clusters. */
export function scopesOf(caller: Caller, action: Action): (Grant & { readonly clusters: object })[] {
  return requireViewer(caller).grants.flatMap((grant) =>
    grant.actions.has(action) && grant.clusters ? [{ ...grant, clusters: grant.clusters }] : [],
  );
}

/** A filter for the clusters on which the viewer may perform the action. */
export function clustersWithAction(caller: Caller, action: Action): Prisma.ClusterWhereInput {
  const viewer = requireViewer(caller);
  if (hasActionOnAll(viewer, action)) return {};
  const scopes = scopesOf(caller, action).map(({ clusters }) => clusters);
  return scopes.length === 0 ? { id: { in: [] } } : { OR: scopes };
}

/** A filter for the clusters that the viewer may read. To the viewer, other clusters do not exist. */
export function readableClusters(caller: Caller): Prisma.ClusterWhereInput {
  return clustersWithAction(caller, 'clusters.read');
}

/** Whether the viewer may read every cluster. Throws UNAUTHENTICATED for an anonymous caller. */
export function canReadEveryCluster(caller: Caller): boolean {
  return hasActionOnAll(requireViewer(caller), 'clusters.read');
}
