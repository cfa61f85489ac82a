/** Every action that Kitestring authorizes. */
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

/** The name of an action in GraphQL and REST, such as `CLUSTERS_READ`. */
export function actionName(action: string): string {
  return action.replaceAll(/[.-]/g, '_').toUpperCase();
}

/**
 * Actions that a custom role can grant, for some or for all clusters. Only the built-in admin role grants the others.
 */
export const GRANTABLE = [
  'clusters.read',
  'clusters.live',
  'clusters.update',
  'clusters.delete',
  'audit.read',
] as const;
