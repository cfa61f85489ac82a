import { canReadEveryCluster } from '../domain/access/permissions.ts';
import { LIST_PAGE } from '../domain/clusters/cluster-page.ts';
import type { Context } from '../graphql/context.ts';
import { OVER_BUDGET } from '../graphql/cost.ts';
import { HttpError } from '../http-error.ts';

/** What a page of a list costs: 10 ms, and what GraphQL charges for as many clusters whole. */
export const PAGE_COST = 40 * LIST_PAGE;
/** What each cluster of the registry adds to a page, for a caller who may read some of them: all are compared. */
const COMPARED_COST = 1.5;

/**
 * Charges a whole list before its first byte, to a caller who may read every cluster. How many pages another caller's list
 * has shows while it is read: `chargePage` charges each. An HttpError with 429 where the budget of the minute does not last.
 */
export async function chargeList(context: Context): Promise<void> {
  if (!canReadEveryCluster(context.caller)) return;
  const { clusters } = await context.sizes.of(context.counters);
  take(context, PAGE_COST * Math.max(1, Math.ceil(clusters / LIST_PAGE)));
}

/** Charges one page to a caller who may not read every cluster. */
export async function chargePage(context: Context): Promise<void> {
  if (canReadEveryCluster(context.caller)) return;
  const { clusters } = await context.sizes.of(context.counters);
  take(context, PAGE_COST + COMPARED_COST * clusters);
}

function take({ charge }: Context, cost: number): void {
  const seconds = charge(cost);
  if (seconds !== undefined) throw new HttpError(429, OVER_BUDGET, { retryAfter: seconds });
}
