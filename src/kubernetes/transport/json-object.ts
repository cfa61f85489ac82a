import { findJsonExcess } from '../../json-size.ts';
import { ClusterError } from '../cluster-error.ts';
import type { ApiResponse } from './response-collector.ts';

/** Limits for a body that is parsed without yielding: parsing one of this size blocks for about 20 ms. */
const JSON_LIMITS = { maxValues: 100_000, maxDepth: 200 };

/**
 * Parses the body; undefined if it is not a JSON object. Throws
 * RESPONSE_TOO_LARGE if it has more than 100,000 values.
 */
export function objectOf({ body }: Pick<ApiResponse, 'body'>): Record<string, unknown> | undefined {
  const excess = findJsonExcess(body, JSON_LIMITS);
  if (excess?.what === 'depth') return undefined;
  if (excess) {
    const why = `the response of the cluster has more than ${excess.limit.toLocaleString('en')} values`;
    throw new ClusterError('RESPONSE_TOO_LARGE', why);
  }
  try {
    const value: unknown = JSON.parse(body.toString());
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
