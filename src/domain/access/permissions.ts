import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { DomainError } from '../errors.ts';
import { ACTIONS, type Action, actionName } from './action.ts';
import { type Caller, type Grant, SIGN_IN_FIRST, type Viewer } from './caller.ts';

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

declare const evidence: unique symbol;

/**
 * The evidence that a caller's permission was checked: for an action on some clusters or on all of them, or for the
 * caller's own account. Every write demands the evidence that it needs, so that forgetting the check is a compile error.
 * Only this file creates it.
 */
export type AuthorizedCaller<Checked extends 'SOME' | 'ALL' | 'OWN'> = Caller & {
  readonly viewer: Viewer;
  readonly [evidence]: Checked;
};

/** Returns the viewer. Throws UNAUTHENTICATED for an anonymous caller. */
export function requireViewer(caller: Caller): Viewer {
  if (!caller.viewer) throw new DomainError('UNAUTHENTICATED', SIGN_IN_FIRST);
  return caller.viewer;
}

/**
 * Requires an authenticated caller, for changes to what belongs to the caller: the own password and personal keys.
 * Throws UNAUTHENTICATED for an anonymous caller.
 */
export function requireOwnAccount(caller: Caller): AuthorizedCaller<'OWN'> {
  requireViewer(caller);
  return caller as AuthorizedCaller<'OWN'>;
}

/**
 * Requires that the caller may perform the action on at least one cluster. Throws UNAUTHENTICATED for an anonymous
 * caller, FORBIDDEN otherwise.
 */
export function requireActionOnSome(caller: Caller, action: Action): AuthorizedCaller<'SOME'> {
  if (!hasActionOnSome(requireViewer(caller), action)) throw forbidden(action);
  return caller as AuthorizedCaller<'SOME'>;
}

/**
 * Like `requireActionOnSome`, but the caller must hold the action for every cluster. Use it for actions that do not
 * target an existing cluster, such as creating one.
 */
export function requireActionOnAll(caller: Caller, action: Action): AuthorizedCaller<'ALL'> {
  if (!hasActionOnAll(requireViewer(caller), action)) throw forbidden(action, 'on every cluster');
  return caller as AuthorizedCaller<'ALL'>;
}

/** Accepts that a caller creates the first user: `SetUp` has checked the proof. */
export function allowFirstUser(caller: Caller): AuthorizedCaller<'ALL'> {
  return caller as AuthorizedCaller<'ALL'>;
}

/** The error for an action that the caller lacks. `where`: on which clusters it is required. */
export function forbidden(action: Action, where?: 'on this cluster' | 'on every cluster'): DomainError {
  // REST's contract fixes the sentence for callers that are not admins.
  if (action === 'rest.use') return new DomainError('FORBIDDEN', 'Admin role required');
  const isOfClusters = action.startsWith('clusters.');
  return new DomainError('FORBIDDEN', `requires ${actionName(action)}${where && isOfClusters ? ` ${where}` : ''}`);
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
