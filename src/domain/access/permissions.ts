import { DomainError } from '../errors.ts';
import type { Caller, Viewer } from './viewer.ts';

/** What one can do in Kitestring. */
export type Action =
  | 'clusters.read'
  | 'clusters.create'
  | 'clusters.update'
  | 'clusters.delete'
  | 'clusters.import'
  | 'clusters.live'
  | 'metrics.read';

/** Which role may do what: every decision of the product is a look into this table. */
const PERMISSIONS: Readonly<Record<string, ReadonlySet<Action>>> = {
  admin: new Set<Action>([
    'clusters.read',
    'clusters.create',
    'clusters.update',
    'clusters.delete',
    'clusters.import',
    'clusters.live',
    'metrics.read',
  ]),
};

export const ROLES = Object.keys(PERMISSIONS);

/** Whether any of the viewer's roles holds the action. */
export function may(viewer: Viewer, action: Action): boolean {
  return viewer.roles.some((role) => PERMISSIONS[role]?.has(action));
}

/** What a stranger is told. */
export const STRANGER = 'Sign in first: send an API key as Authorization';

/** Returns the viewer, or refuses a stranger with UNAUTHENTICATED. */
export function signedIn(caller: Caller): Viewer {
  if (!caller.viewer) throw new DomainError('UNAUTHENTICATED', STRANGER);
  return caller.viewer;
}

/** Returns the viewer, or refuses: UNAUTHENTICATED for a stranger, FORBIDDEN without the action. */
export function authorize(caller: Caller, action: Action): Viewer {
  const viewer = signedIn(caller);
  if (!may(viewer, action)) throw new DomainError('FORBIDDEN', 'Admin role required');
  return viewer;
}

/** The filter that leaves only the clusters the viewer may read. Nothing is left of a registry that is not theirs. */
export function readableClusters(caller: Caller): { id?: { in: number[] } } {
  return mayReadClusters(caller) ? {} : { id: { in: [] } };
}

/** Whether the viewer may read the registry at all; refuses a stranger. */
export function mayReadClusters(caller: Caller): boolean {
  return may(signedIn(caller), 'clusters.read');
}
