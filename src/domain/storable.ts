/**
 * The range of storable times: the years 1 to 9999. Their ISO 8601 form has a fixed length, which both databases can
 * parse and sort.
 */
const [FIRST, LAST] = [Date.parse('0001-01-01T00:00:00Z'), Date.parse('9999-12-31T23:59:59.999Z')];

/** The error for a text that the databases cannot store. */
export const UNSTORABLE = 'must not contain NUL characters or lone surrogates';

/** Whether both databases can store the text. No row can contain any other text. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}

/** Maximum length of the name of a cluster, user or API key, in code points. */
export const MAX_NAME = 253;

/** Whether a text has at most `most` code points. Takes constant time for longer texts. */
export function isWithin(text: string, most: number): boolean {
  // A code point is one or two UTF-16 units.
  if (text.length <= most) return true;
  return text.length <= 2 * most && [...text].length <= most;
}

/** Whether a row can have this name or uid. */
export function canBeName(text: string): boolean {
  return isWithin(text, MAX_NAME) && isStorable(text);
}

/** Whether a row can have this id: a positive integer of 32 bits. */
export function isStorableId(id: unknown): id is number {
  return typeof id === 'number' && Number.isInteger(id) && id > 0 && id < 2 ** 31;
}

/** Whether both databases can store the time. */
export function isStorableTime(time: Date): boolean {
  return time.getTime() >= FIRST && time.getTime() <= LAST;
}

/** Returns the time, limited to the range that both databases can store. */
export function storableTime(time: Date): Date {
  return new Date(Math.min(Math.max(time.getTime(), FIRST), LAST));
}
