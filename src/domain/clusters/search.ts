// `LIKE` differs from database to database in letter case and escapes, and Prisma does not escape `%`.
// So the folded text holds no character that LIKE treats specially: each stands as a private-use one.
const SPECIAL: Readonly<Record<string, string>> = { '%': '\u{F0001}', _: '\u{F0002}', '\\': '\u{F0003}' };

/** Folds a text so that a plain `contains` on folded text finds it in any letter case, on every database alike. */
export function fold(text: string): string {
  return text.toLowerCase().replace(/[%_\\]/g, (character) => SPECIAL[character] ?? character);
}

/** What `search` looks through. */
export function searchText({ name, description }: { name: string; description: string }): string {
  return `${fold(name)}\n${fold(description)}`;
}
