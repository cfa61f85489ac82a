import type { Transaction } from '../../storage/database.ts';
import { DomainError } from '../errors.ts';
import { ACTIONS, type Action, actionName } from './action.ts';
import type { Caller, Viewer } from './caller.ts';
import { toStrings } from './current-roles.ts';
import { builtInGrant, hasActionOnAll, requireViewer } from './permissions.ts';

/** The roles of a user or a key, and the actions that a key is limited to. */
export interface Entitlement {
  readonly roles: readonly string[];
  readonly scopes?: readonly string[] | null | undefined;
}

/** Whether the viewer holds every action for every cluster, so that no entitlement can exceed theirs. */
export function holdsEverything(viewer: Viewer): boolean {
  return missingActions(viewer, ACTIONS).length === 0;
}

/**
 * Throws FORBIDDEN, naming the missing actions, if a user or key that the caller creates, changes or removes has
 * actions that the caller does not hold for every cluster. Pass the entitlements before and after the change. Roles are
 * read in the transaction.
 */
export async function requireCoverage(
  tx: Pick<Transaction, 'role'>,
  caller: Caller,
  entitlements: readonly Entitlement[],
): Promise<void> {
  if (holdsEverything(requireViewer(caller))) return;
  for (const { roles, scopes } of entitlements)
    requireActions(
      caller,
      (await actionsOf(tx, roles)).filter((action) => !scopes || scopes.includes(action)),
    );
}

/** Like `requireCoverage`, for the actions of a role. */
export function requireActions(caller: Caller, actions: readonly Action[]): void {
  const missing = missingActions(requireViewer(caller), actions);
  if (missing.length === 0) return;
  const names = missing.map(actionName).join(', ');
  throw new DomainError(
    'FORBIDDEN',
    `this allows more than you hold yourself: you lack ${names}. Narrow it by roles or scopes, or use a key that holds them`,
  );
}

/**
 * Throws FORBIDDEN, naming the latest allowed time, if an API key with limited actions creates a key that expires later
 * than itself or never.
 */
export function refuseToOutlive(viewer: Viewer, expiresAt: Date | null | undefined): void {
  const isNarrowed = viewer.kind === 'API_KEY' && !holdsEverything(viewer);
  const callerExpiresAt = viewer.expiresAt;
  if (!isNarrowed || !callerExpiresAt || (expiresAt && expiresAt <= callerExpiresAt)) return;
  throw new DomainError(
    'FORBIDDEN',
    `expiresAt: give ${callerExpiresAt.toISOString()} or earlier, when the key that you use expires`,
  );
}

function missingActions(viewer: Viewer, actions: readonly Action[]): Action[] {
  const distinct = [...new Set(actions)];
  return distinct.filter((action) => !hasActionOnAll(viewer, action));
}

async function actionsOf(tx: Pick<Transaction, 'role'>, names: readonly string[]): Promise<Action[]> {
  const defined = await tx.role.findMany({ where: { name: { in: [...names] } }, select: { actions: true } });
  const builtIn = names.flatMap((name) => [...(builtInGrant(name)?.actions ?? [])]);
  return [...builtIn, ...defined.flatMap(({ actions }) => toStrings(actions) as Action[])];
}
