import type { TableSizes } from '../sizes.ts';
import type { ClusterFilter } from './cluster-list.ts';
import { MAX_SELECTOR, parseLabelSelector, type Requirement } from './label-selector.ts';
import { fold, MAX_SEARCH } from './search.ts';

// A step is what one row takes against one requirement: some 0.35 µs in SQLite. The rest is measured against that.
const ROW = 0.3;
/** A statement opens a cursor for each requirement, past all that are open already: it grows with their square. */
const CURSORS = 12;
/** Each text of a list is a parameter. */
const TEXT = 6;
/** A byte against each character searched for, where the texts are the worst there are: LIKE begins anew at each byte. */
const BYTE = 0.004;

/** The most steps that testing every cluster against a filter takes, once; 0 without a filter. */
export function stepsOfFilter(
  { search, names, labelSelector, states, enabled, credentialExpiresWithinDays: days }: ClusterFilter,
  { clusters, searchBytes }: Pick<TableSizes, 'clusters' | 'searchBytes'>,
): number {
  const requirements = requirementsOf(labelSelector ?? '');
  const given = (names?.length ?? 0) + new Set(states).size;
  const values = requirements.reduce((sum, { values }) => sum + values.length, given);
  const isScanned = [search, states, enabled, days].some((given) => given != null) || requirements.length > 0;
  const perRow = stepsOfRequirements(requirements.length) + (isScanned ? ROW : 0);
  return clusters * perRow + TEXT * values + BYTE * searchBytes * bytesOfSearch(search ?? '');
}

/** The steps of testing one cluster against so many label requirements. */
export function stepsOfRequirements(requirements: number): number {
  return requirements + requirements ** 2 / CURSORS;
}

/** None of a text that is refused anyway. */
function bytesOfSearch(text: string): number {
  return text.length > MAX_SEARCH ? 0 : Buffer.byteLength(fold(text));
}

/** None of a selector that is refused anyway. */
function requirementsOf(text: string): readonly Requirement[] {
  try {
    return text.length > MAX_SELECTOR ? [] : parseLabelSelector(text);
  } catch {
    return [];
  }
}
