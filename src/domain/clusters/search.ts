// `LIKE` differs from database to database in letter case and escapes, and Prisma does not escape `%`.
// So the folded text holds no character that LIKE treats specially: each stands as a private-use one.
const SPECIAL: Readonly<Record<string, string>> = { '%': '\u{F0001}', _: '\u{F0002}', '\\': '\u{F0003}' };
const BETWEEN = '\u{F0000}';

/** Characters that may be searched for. */
export const MAX_SEARCH = 1_000;

/** Folds a text so that a plain `contains` on folded text finds it in any letter case, on every database alike. */
export function fold(text: string): string {
  // By way of both cases, so that ß, ẞ and SS find each other; the final sigma is the one letter its neighbours decide.
  const folded = text.toLowerCase().toUpperCase().toLowerCase().replaceAll('ς', 'σ');
  return folded.replace(/[%_\\]/g, (character) => SPECIAL[character] ?? character);
}

/** What `search` looks through. */
export function searchText({ name, description }: { name: string; description: string }): string {
  return `${fold(name)}${BETWEEN}${fold(description)}`;
}
