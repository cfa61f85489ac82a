import { type InputIssue, invalidInput } from './errors.ts';

export interface PageArguments {
  readonly first?: number | null | undefined;
  readonly after?: string | null | undefined;
  readonly last?: number | null | undefined;
  readonly before?: string | null | undefined;
}

export const DEFAULT_PAGE = 50;
export const MAX_PAGE = 100;

/** Where a page begins and ends, which way it is read, and how many rows it wants. */
export interface Bounds<Place> {
  readonly size: number;
  readonly backward: boolean;
  readonly after: Place | undefined;
  readonly before: Place | undefined;
}

/** Characters of a cursor: with a name of 253 code points, of at most 6 bytes each in JSON, it has 2,100 in base64. */
const MAX_CURSOR = 2_200;

/** What is said of a cursor that cannot be read. */
export const NO_CURSOR = 'is no cursor of this connection';

/** Checks the arguments of a connection; `readPlace` gives what a cursor stands for, or what is wrong with it. */
export function readBounds<Place extends object | number>(
  { first, after, last, before }: PageArguments,
  readPlace: (cursor: string) => Place | string,
  size = DEFAULT_PAGE,
): Bounds<Place> {
  const issues: InputIssue[] = [];
  if (first != null && last != null) issues.push({ path: ['last'], message: 'cannot be given together with first' });
  for (const [path, value] of Object.entries({ first, last }))
    if (value != null && (value < 1 || value > MAX_PAGE))
      issues.push({ path: [path], message: `must be 1 to ${MAX_PAGE}` });
  const read = (path: string, text: string | null | undefined) => {
    if (text == null) return undefined;
    // Before it is decoded, however it is read.
    const place = text.length > MAX_CURSOR ? NO_CURSOR : readPlace(text);
    if (typeof place !== 'string') return place;
    issues.push({ path: [path], message: place });
    return undefined;
  };
  const places = { after: read('after', after), before: read('before', before) };
  if (issues.length > 0) throw invalidInput(issues);
  return { size: first ?? last ?? size, backward: last != null, ...places };
}

/** Cuts the one row too many that tells whether there are more; `more` tells it where that row is gone by now. */
export function cutPage<Row>(
  rows: Row[],
  { size, backward }: Pick<Bounds<unknown>, 'size' | 'backward'>,
  { behind, more = rows.length > size }: { behind: boolean; more?: boolean },
) {
  const kept = rows.length > size ? rows.slice(0, size) : rows;
  if (backward) kept.reverse();
  return {
    rows: kept,
    hasNextPage: backward ? behind : more,
    hasPreviousPage: backward ? more : behind,
  };
}
