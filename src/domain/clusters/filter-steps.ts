import { MAX_SELECTOR, parseLabelSelector, type Requirement, stepsOfRequirements } from '../label-selector.ts';
import type { TableSizes } from '../sizes.ts';
import { fold, MAX_SEARCH } from '../text.ts';
import type { ClusterFilter } from './cluster-list.ts';

// One step is the time to match one row against one label requirement: about 0.35 µs in SQLite. The constants below are
// measured in steps.

/** Steps to scan one row. */
const ROW = 0.3;
/** Steps per text in a list: each one is a parameter of the statement. */
const TEXT = 6;
/**
 * Steps per stored byte and byte of the search text in the worst case, in which LIKE starts a new match at each byte.
 */
const BYTE = 0.004;

/** Returns the most steps that matching every cluster against a filter once can take; 0 without a filter. */
export function stepsOfFilter(
  { search, names, labelSelector, states, enabled, credentialExpiresWithinDays: days }: ClusterFilter,
  { clusters, searchBytes }: Pick<TableSizes, 'clusters' | 'searchBytes'>,
): number {
  const requirements = requirementsOf(labelSelector ?? '');
  const listed = (names?.length ?? 0) + new Set(states).size;
  const values = requirements.reduce((sum, { values }) => sum + values.length, listed);
  const isScanned = [search, states, enabled, days].some((condition) => condition != null) || requirements.length > 0;
  const perRow = stepsOfRequirements(requirements.length) + (isScanned ? ROW : 0);
  return clusters * perRow + TEXT * values + BYTE * searchBytes * bytesOfSearch(search ?? '');
}

/** 0 for a text that is too long, which is rejected elsewhere. */
function bytesOfSearch(text: string): number {
  return text.length > MAX_SEARCH ? 0 : Buffer.byteLength(fold(text));
}

/** Empty for an invalid selector, which is rejected elsewhere. */
function requirementsOf(text: string): readonly Requirement[] {
  try {
    return text.length > MAX_SELECTOR ? [] : parseLabelSelector(text);
  } catch {
    return [];
  }
}
