import { GraphQLError } from 'graphql';

/** Charges a cost to the caller's budget of this minute. Returns the seconds to wait if the budget is exhausted. */
export type Charge = (cost: number) => number | undefined;

/** Builds the error RATE_LIMITED: HTTP 429 with the seconds to wait in `Retry-After`. */
export function rateLimited(message: string, seconds: number): GraphQLError {
  return new GraphQLError(message, {
    extensions: { code: 'RATE_LIMITED', http: { status: 429, headers: { 'Retry-After': String(seconds) } } },
  });
}

/** Cost of parsing and validating one token: the most expensive document of 2,000 tokens takes 5 ms. */
export const TOKEN_COST = 5;

export const COST_BUDGET_EXCEEDED =
  'Your requests have used up the cost budget of this minute: wait for the next minute, or request less';

/** Charges a cost to the caller's budget of this minute; throws RATE_LIMITED if the budget is exhausted. */
export function chargeOrThrow(charge: Charge, cost: number): void {
  const seconds = charge(cost);
  if (seconds !== undefined) throw rateLimited(COST_BUDGET_EXCEEDED, seconds);
}
