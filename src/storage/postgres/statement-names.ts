import { LRUCache } from 'lru-cache';

/** The maximum number of names. Each connection keeps one prepared statement per name that it has used. */
const MAX_NAMES = 200;
/** The maximum number of names for statements with lists, where each list length is a different statement. */
const MAX_LIST_NAMES = 100;
/** How often a statement must run before it gets a name. */
const MIN_RUNS = 5;
/** The maximum number of statements that are counted; the least recently used one is dropped first. */
const MAX_COUNTED = 500;
/** The maximum length, in characters, of a statement that gets a name. */
const MAX_LENGTH = 16 * 1024;
const LIST = /\bIN \(\$\d+,|\), ?\(\$\d/;

/** Assigns names to frequent statements. A connection prepares a named statement when it first runs it. */
export class StatementNames {
  readonly #names = new Map<string, string>();
  readonly #counts = new LRUCache<string, number>({ max: MAX_COUNTED });
  #listNames = 0;
  #generation = 0;

  /** Returns the name under which to prepare a statement; undefined if it should be sent without preparation. */
  of(sql: string): string | undefined {
    const known = this.#names.get(sql);
    if (known !== undefined || this.#names.size === MAX_NAMES || sql.length > MAX_LENGTH) return known;
    const isList = LIST.test(sql);
    if ((isList && this.#listNames === MAX_LIST_NAMES) || !this.#isFrequent(sql)) return undefined;
    if (isList) this.#listNames++;
    const name = `kitestring_${this.#generation}_${this.#names.size}`;
    this.#names.set(sql, name);
    this.#counts.delete(sql);
    return name;
  }

  /** Discards all names, so that every statement gets a new name and is prepared again. */
  renameAll(): void {
    this.#names.clear();
    this.#listNames = 0;
    this.#generation++;
  }

  #isFrequent(sql: string): boolean {
    const count = (this.#counts.get(sql) ?? 0) + 1;
    this.#counts.set(sql, count);
    return count >= MIN_RUNS;
  }
}
