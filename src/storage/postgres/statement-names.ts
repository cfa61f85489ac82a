/** Names that this process gives: each connection keeps a prepared statement for every one it met. */
const NAMES = 200;
/** Of them, those for statements with lists, whose every length is a statement of its own. */
const NAMES_OF_LISTS = 100;
/** How often a statement comes before it is worth a name. */
const OFTEN = 5;
/** Statements that are counted at once, the one longest ago forgotten first; none longer than so many characters. */
const COUNTED = 500;
const LONGEST = 16 * 1024;
const LIST = /\bIN \(\$\d+,|\), ?\(\$\d/;

/** The names of the statements that come often; each connection prepares one as it meets it. */
export class StatementNames {
  readonly #names = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  #lists = 0;
  #forgotten = 0;

  /** The name to prepare a statement by, unless it is to be sent as it is. */
  of(sql: string): string | undefined {
    const known = this.#names.get(sql);
    if (known !== undefined || this.#names.size === NAMES || sql.length > LONGEST) return known;
    const isList = LIST.test(sql);
    if ((isList && this.#lists === NAMES_OF_LISTS) || !this.#isOften(sql)) return undefined;
    if (isList) this.#lists++;
    const name = `kitestring_${this.#forgotten}_${this.#names.size}`;
    this.#names.set(sql, name);
    this.#counts.delete(sql);
    return name;
  }

  /** Gives every statement another name from now on. */
  forget(): void {
    this.#names.clear();
    this.#lists = 0;
    this.#forgotten++;
  }

  #isOften(sql: string): boolean {
    const count = (this.#counts.get(sql) ?? 0) + 1;
    this.#counts.delete(sql);
    this.#counts.set(sql, count);
    const [oldest] = this.#counts.size > COUNTED ? this.#counts.keys() : [];
    if (oldest !== undefined) this.#counts.delete(oldest);
    return count >= OFTEN;
  }
}
