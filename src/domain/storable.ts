/** The times that are text of one length in ISO 8601, which every database reads and sorts: the years 1 to 9999. */
const [FIRST, LAST] = [Date.parse('0001-01-01T00:00:00Z'), Date.parse('9999-12-31T23:59:59.999Z')];

/** What is said of a text that no database holds. */
export const UNSTORABLE = 'must not hold NUL characters or lone surrogates';

/** Whether every database can hold the text: what none can hold, no row has. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}

/** Code points of a name of a cluster, a person or a key, at most. */
export const MAX_NAME = 253;

/** Whether a text has at most so many code points. Takes no longer for a text that has many more. */
export function isWithin(text: string, most: number): boolean {
  // A code point is one or two UTF-16 units.
  if (text.length <= most) return true;
  return text.length <= 2 * most && [...text].length <= most;
}

/** Whether a row can have this name, or uid. */
export function canBeName(text: string): boolean {
  return isWithin(text, MAX_NAME) && isStorable(text);
}

/** Whether a row can have this id: a positive integer of 32 bits. */
export function isStorableId(id: unknown): id is number {
  return typeof id === 'number' && Number.isInteger(id) && id > 0 && id < 2 ** 31;
}

/** Whether every database can hold the time. */
export function isStorableTime(time: Date): boolean {
  return time.getTime() >= FIRST && time.getTime() <= LAST;
}

/** The time itself, or the nearest that every database can hold. */
export function storableTime(time: Date): Date {
  return new Date(Math.min(Math.max(time.getTime(), FIRST), LAST));
}
