import type { Transaction } from '../../storage/database.ts';
import { DomainError } from '../errors.ts';
import { stringsOf } from './api-key-cache.ts';
import { ACTIONS, type Action, actionName, builtInGrant, hasActionOnAll, requireViewer } from './permissions.ts';
import type { Caller, Viewer } from './viewer.ts';

/** The roles of a user or a key, and the actions that the key is narrowed to. */
export interface Entitlement {
  readonly roles: readonly string[];
  readonly scopes?: readonly string[] | null | undefined;
}

/** Whether the viewer holds every action for every cluster, so that nothing allows more than they do. */
export function holdsEverything(viewer: Viewer): boolean {
  return missingOf(viewer, ACTIONS).length === 0;
}

/**
 * Refuses to create, change or remove a user or a key that allows more than the caller holds, as a narrowed key might. Name
 * the state before and the state after; roles count as the transaction sees them. FORBIDDEN names the missing actions.
 */
export async function requireCoverage(
  tx: Pick<Transaction, 'role'>,
  caller: Caller,
  holdings: readonly Entitlement[],
): Promise<void> {
  if (holdsEverything(requireViewer(caller))) return;
  for (const { roles, scopes } of holdings)
    requireActions(
      caller,
      (await actionsOf(tx, roles)).filter((action) => !scopes || scopes.includes(action)),
    );
}

/** As `requireCoverage`, for actions that a role gives. */
export function requireActions(caller: Caller, actions: readonly Action[]): void {
  const missing = missingOf(requireViewer(caller), actions);
  if (missing.length === 0) return;
  const names = missing.map(actionName).join(', ');
  throw new DomainError(
    'FORBIDDEN',
    `this allows more than you hold yourself: you lack ${names}. Narrow it by roles or scopes, or use a key that holds them`,
  );
}

/** Refuses a narrowed key that expires to create a key that expires later, or never: FORBIDDEN names the time. */
export function refuseToOutlive(viewer: Viewer, expiresAt: Date | null | undefined): void {
  const isNarrowed = viewer.kind === 'API_KEY' && !holdsEverything(viewer);
  const end = viewer.expiresAt;
  if (!isNarrowed || !end || (expiresAt && expiresAt <= end)) return;
  throw new DomainError(
    'FORBIDDEN',
    `expiresAt: give ${end.toISOString()} or earlier, when the key that you use expires`,
  );
}

function missingOf(viewer: Viewer, actions: readonly Action[]): Action[] {
  const distinct = [...new Set(actions)];
  return distinct.filter((action) => !hasActionOnAll(viewer, action));
}

async function actionsOf(tx: Pick<Transaction, 'role'>, names: readonly string[]): Promise<Action[]> {
  const defined = await tx.role.findMany({ where: { name: { in: [...names] } }, select: { actions: true } });
  const builtIn = names.flatMap((name) => [...(builtInGrant(name)?.actions ?? [])]);
  return [...builtIn, ...defined.flatMap(({ actions }) => stringsOf(actions) as Action[])];
}
