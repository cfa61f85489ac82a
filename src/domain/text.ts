// `LIKE` differs from database to database in letter case and escapes, and Prisma does not escape `%`.
// So the folded text replaces each character that LIKE treats specially with a private-use character.
const SPECIAL: Readonly<Record<string, string>> = { '%': '\u{F0001}', _: '\u{F0002}', '\\': '\u{F0003}' };
/** Separates name and description, so that no search text matches across both. */
const SEPARATOR = '\u{F0000}';

/** Maximum length of a search text in characters. */
export const MAX_SEARCH = 1_000;

/** Folds a text so that `contains` on folded text ignores letter case in the same way on every database. */
export function fold(text: string): string {
  // Convert through both cases so that ß, ẞ and SS match. Replace the final sigma: its lower case depends on its neighbours.
  const folded = text.toLowerCase().toUpperCase().toLowerCase().replaceAll('ς', 'σ');
  return folded.replace(/[%_\\]/g, (character) => SPECIAL[character] ?? character);
}

/** Returns the text that the filter `search` matches. */
export function searchText({ name, description }: { name: string; description: string }): string {
  return `${fold(name)}${SEPARATOR}${fold(description)}`;
}
