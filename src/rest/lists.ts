import type { Context } from '../graphql/context.ts';
import { overMemoryError } from '../http-error.ts';

/** A page of a list: its items as JSON values, the cursor of the next page, and the data of the list's first page. */
export interface ListPage {
  readonly items: readonly unknown[];
  readonly next: string | null;
  readonly first: object;
}

/** Reads the page after a cursor; the first page when there is none. */
export type ReadPage = (
  context: Context,
  place: { readonly after: string; readonly first: object } | undefined,
) => Promise<ListPage>;

/** A list as JSON: the pieces that were read, and the pages that follow them when it is too large to be held whole. */
export interface ReadList {
  readonly pieces: Buffer[];
  readonly rest?: AsyncGenerator<Buffer>;
}

/** Times that a list is read while the registry changes between its pages; then its pages may be of two moments. */
const MAX_READINGS = 3;

/**
 * Reads a list whole when it has at most `maxBytes`, and else as far as that. Each page is one query and one turn of the
 * event loop. When the registry changed between two pages the list is read again. `grow` counts the bytes that are held;
 * a Refusal with 429 when it returns false.
 */
export async function readList(
  context: Context,
  pages: () => AsyncGenerator<Buffer>,
  { maxBytes, grow, shrink }: { maxBytes: number; grow: (bytes: number) => boolean; shrink: (bytes: number) => void },
): Promise<ReadList> {
  for (let reading = 1; ; reading++) {
    const { registry } = await context.database.counters();
    const rest = pages();
    const pieces: Buffer[] = [];
    let bytes = 0;
    for (let page = await rest.next(); !page.done; page = await rest.next()) {
      if (!grow(page.value.length)) throw overMemoryError();
      pieces.push(page.value);
      bytes += page.value.length;
      if (bytes > maxBytes) return { pieces, rest };
    }
    const isOfOneMoment = pieces.length === 1 || (await context.database.counters()).registry === registry;
    if (isOfOneMoment || reading === MAX_READINGS) return { pieces };
    shrink(bytes);
  }
}

/** The JSON text of a list, a page at a time; nothing is read ahead of its reader. */
export async function* pagesOf(context: Context, read: ReadPage, turns: Turns): AsyncGenerator<Buffer> {
  let place: Parameters<ReadPage>[1];
  for (;;) {
    await turns.next();
    const { items, next, first } = await read(context, place);
    const text = JSON.stringify(items).slice(1, -1);
    yield Buffer.from(`${place === undefined ? '[' : text && ','}${text}${next === null ? ']' : ''}`);
    if (next === null) return;
    place = { after: next, first };
  }
}

/** Lets one page be read in each turn of the event loop, whoever reads: other requests are answered between two of them. */
export class Turns {
  #isTaken = false;
  readonly #waiting: (() => void)[] = [];

  next(): Promise<void> | undefined {
    if (this.#isTaken) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#isTaken = true;
    setImmediate(() => this.#pass());
    return undefined;
  }

  #pass(): void {
    const next = this.#waiting.shift();
    this.#isTaken = next !== undefined;
    if (!next) return;
    next();
    setImmediate(() => this.#pass());
  }
}
