import { yieldNow } from '../event-loop.ts';
import type { Context } from '../graphql/context.ts';
import { overMemoryError } from '../http-error.ts';

/**
 * A page of a list: its items as JSON values, the cursor of the next page (null on the last one), and the first page's
 * data.
 */
export interface ListPage {
  readonly items: readonly unknown[];
  readonly next: string | null;
  readonly first: object;
}

/** Reads the page after a position; undefined reads the first page. */
export type ReadPage = (
  context: Context,
  position: { readonly after: string; readonly first: object } | undefined,
) => Promise<ListPage>;

/**
 * A list as JSON: the pages read so far, and `rest` to read the others if the list is too large to be held in memory.
 */
export interface ReadList {
  readonly pieces: Buffer[];
  readonly rest?: AsyncGenerator<Buffer>;
}

/**
 * How often a list is read because the registry changed between its pages. The last read may mix two registry states.
 */
const MAX_ATTEMPTS = 3;

/**
 * Reads a whole list, or stops after `maxBytes` if it is larger. Each page is one query and one turn of the event loop.
 * If the registry changed between two pages, the list is read again. `grow` charges the bytes held in memory; if it
 * returns false, this throws an HttpError with status 429.
 */
export async function readList(
  context: Context,
  pages: () => AsyncGenerator<Buffer>,
  { maxBytes, grow, shrink }: { maxBytes: number; grow: (bytes: number) => boolean; shrink: (bytes: number) => void },
): Promise<ReadList> {
  for (let attempt = 1; ; attempt++) {
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
    const isConsistent = pieces.length === 1 || (await context.database.counters()).registry === registry;
    if (isConsistent || attempt === MAX_ATTEMPTS) return { pieces };
    shrink(bytes);
  }
}

/**
 * The JSON text of a list, one page at a time. A page is only read when the consumer asks for it, in its own iteration
 * of the event loop.
 */
export async function* jsonPages(context: Context, read: ReadPage): AsyncGenerator<Buffer> {
  let position: Parameters<ReadPage>[1];
  for (;;) {
    await yieldNow();
    const { items, next, first } = await read(context, position);
    const text = JSON.stringify(items).slice(1, -1);
    yield Buffer.from(`${position === undefined ? '[' : text && ','}${text}${next === null ? ']' : ''}`);
    if (next === null) return;
    position = { after: next, first };
  }
}
