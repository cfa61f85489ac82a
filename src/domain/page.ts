import { type InputIssue, invalidInput } from './errors.ts';

export interface PageArguments {
  readonly first?: number | null | undefined;
  readonly after?: string | null | undefined;
  readonly last?: number | null | undefined;
  readonly before?: string | null | undefined;
}

export const DEFAULT_PAGE = 50;
export const MAX_PAGE = 100;

/** The validated arguments of a connection: the cursors around the page, the direction, and the page size. */
export interface Bounds<Position> {
  readonly size: number;
  readonly backward: boolean;
  readonly after: Position | undefined;
  readonly before: Position | undefined;
}

/**
 * Maximum length of a cursor. The largest contains a name of 253 code points, with up to 6 bytes each in JSON: 2,100
 * characters in base64.
 */
const MAX_CURSOR = 2_200;

/** The error for a cursor that cannot be parsed. */
export const INVALID_CURSOR = 'is not a cursor of this connection';

/**
 * Validates the arguments of a connection. `readPosition` parses a cursor and returns its position, or an error message.
 */
export function readBounds<Position extends object | number>(
  { first, after, last, before }: PageArguments,
  readPosition: (cursor: string) => Position | string,
  size = DEFAULT_PAGE,
): Bounds<Position> {
  const issues: InputIssue[] = [];
  if (first != null && last != null) issues.push({ path: ['last'], message: 'cannot be combined with first' });
  for (const [path, value] of Object.entries({ first, last }))
    if (value != null && (value < 1 || value > MAX_PAGE))
      issues.push({ path: [path], message: `must be 1 to ${MAX_PAGE}` });
  const read = (path: string, text: string | null | undefined) => {
    if (text == null) return undefined;
    // Check the length before decoding.
    const position = text.length > MAX_CURSOR ? INVALID_CURSOR : readPosition(text);
    if (typeof position !== 'string') return position;
    issues.push({ path: [path], message: position });
    return undefined;
  };
  const positions = { after: read('after', after), before: read('before', before) };
  if (issues.length > 0) throw invalidInput(issues);
  return { size: first ?? last ?? size, backward: last != null, ...positions };
}

/**
 * Removes the extra row that was read to detect further rows. Pass `more` if that row may have been deleted meanwhile.
 * `behind` states whether rows exist on the other side of the cursor.
 */
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
