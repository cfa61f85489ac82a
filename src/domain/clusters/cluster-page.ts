import type { Prisma } from '../../storage/generated/sqlite/client.ts';
import { type Bounds, DEFAULT_PAGE, INVALID_CURSOR, type PageArguments, readBounds } from '../page.ts';
import { isStorable, isStorableId, isStorableTime } from '../storable.ts';

type ClusterOrderField = 'NAME' | 'CREATED_AT' | 'DATABASE_ID';
type Direction = 'ASC' | 'DESC';

export interface ClusterOrder {
  readonly field: ClusterOrderField;
  readonly direction: Direction;
}

/** The columns that a cursor can contain; every page reads them. */
export interface CursorRow {
  readonly id: number;
  readonly name: string;
  readonly createdAt: Date;
}

interface Cursor {
  readonly field: ClusterOrderField;
  readonly value: string | number;
  readonly id: number;
}

/** A page of clusters in an order. */
export interface Page extends Bounds<Cursor> {
  readonly order: ClusterOrder;
}

/** Rows per page of the REST lists, which return the whole registry: a page takes about 10 ms. */
const LIST_PAGE = 250;

/** Validates the arguments of the clusters' connection; `unlimited` is for the pages of the REST lists. */
export function readPage(args: PageArguments, order: ClusterOrder, { unlimited }: { unlimited: boolean }): Page {
  const read = (text: string): Cursor | string => {
    const cursor = readCursor(text);
    if (!cursor) return INVALID_CURSOR;
    return cursor.field === order.field ? cursor : `is a cursor for a different order (${cursor.field})`;
  };
  return { order, ...readBounds(args, read, unlimited ? LIST_PAGE : DEFAULT_PAGE) };
}

/** The cursor of a row: its position in this order, which stays valid after the row is deleted. */
export function writeCursor(row: CursorRow, order: ClusterOrder): string {
  const { field, value, id } = cursorOf(row, order);
  return Buffer.from(JSON.stringify([field, value, id])).toString('base64url');
}

function cursorOf(row: CursorRow, { field }: ClusterOrder): Cursor {
  const value = { NAME: row.name, CREATED_AT: row.createdAt.getTime(), DATABASE_ID: row.id }[field];
  return { field, value, id: row.id };
}

/** A page of all rows beyond `row` in the direction of `page`; of all rows if `row` is omitted. */
export function rowsBeyond(page: Page, row?: CursorRow): Page {
  const cursor = row && cursorOf(row, page.order);
  return { ...page, after: page.backward ? undefined : cursor, before: page.backward ? cursor : undefined };
}

/** Parses a cursor that `writeCursor` created; returns undefined for any other text. */
export function readCursor(text: string): Cursor | undefined {
  try {
    const bytes = Buffer.from(text, 'base64url');
    const parsed: unknown = JSON.parse(bytes.toString('utf8'));
    // Decoding skips characters that are not base64url: accept only the exact text that we would write.
    if (bytes.toString('base64url') !== text) return undefined;
    if (!Array.isArray(parsed) || parsed.length !== 3) return undefined;
    const [field, value, id] = parsed;
    return isStorableId(id) && isValidPosition(field, value, id) ? { field, value, id } : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the columns can hold these values. PostgreSQL rejects a query with a value out of the column's range. */
function isValidPosition(field: unknown, value: unknown, id: number): boolean {
  if (field === 'NAME') return typeof value === 'string' && isStorable(value);
  if (field === 'CREATED_AT') return Number.isInteger(value) && isStorableTime(new Date(Number(value)));
  return field === 'DATABASE_ID' && value === id;
}

/**
 * Cuts a page, ordered by id, out of ids in ascending order. Returns the ids of its rows and of one more in the direction of
 * reading, and whether any id lies behind the cursor at which the page starts.
 */
export function cutIds(ids: readonly number[], { order, backward, after, before, size }: Page) {
  const isAscending = order.direction === 'ASC';
  const [low, high] = isAscending ? [after, before] : [before, after];
  const within = ids.filter((id) => (!low || id > low.id) && (!high || id < high.id));
  const isLowFirst = isAscending !== backward;
  const [first = 0, last = 0] = [ids[0], ids.at(-1)];
  return {
    ids: isLowFirst ? within.slice(0, size + 1) : within.slice(-size - 1),
    hasRowsBehind: isLowFirst
      ? low !== undefined && ids.length > 0 && first <= low.id
      : high !== undefined && last >= high.id,
  };
}

/** A filter for the rows between the cursors (keyset pagination): a deleted row neither empties nor repeats a page. */
export function wherePage({ order, after, before }: Page): Prisma.ClusterWhereInput {
  const forward = order.direction === 'ASC';
  return { AND: [...(after ? [beyond(after, forward)] : []), ...(before ? [beyond(before, !forward)] : [])] };
}

/**
 * A filter for the row of the cursor at which the page starts and all rows behind it; undefined if there is no cursor.
 */
export function whereBehind({ order, backward, after, before }: Page): Prisma.ClusterWhereInput | undefined {
  const cursor = backward ? before : after;
  const forward = order.direction === 'ASC';
  return cursor && beyond(cursor, backward ? forward : !forward, { inclusive: true });
}

function beyond(
  { field, value, id }: Cursor,
  greater: boolean,
  { inclusive = false }: { inclusive?: boolean } = {},
): Prisma.ClusterWhereInput {
  const orEqual = <Value>(bound: Value) => (greater ? { gte: bound } : { lte: bound });
  const strictly = <Value>(bound: Value) => (greater ? { gt: bound } : { lt: bound });
  const than = inclusive ? orEqual : strictly;
  switch (field) {
    case 'NAME':
      return { name: than(String(value)) };
    case 'DATABASE_ID':
      return { id: than(id) };
    case 'CREATED_AT': {
      const createdAt = new Date(Number(value));
      // The first condition is implied by the second, but lets the database use an index. The id orders rows of equal age.
      return { createdAt: orEqual(createdAt), OR: [{ createdAt: strictly(createdAt) }, { id: than(id) }] };
    }
  }
}

/** The order in which rows are read: reversed for `last`; `cutPage` restores it. */
export function orderPage({ order, backward }: Page): Prisma.ClusterOrderByWithRelationInput[] {
  const direction = (order.direction === 'ASC') !== backward ? 'asc' : 'desc';
  switch (order.field) {
    case 'NAME':
      return [{ name: direction }];
    case 'DATABASE_ID':
      return [{ id: direction }];
    case 'CREATED_AT':
      return [{ createdAt: direction }, { id: direction }];
  }
}
