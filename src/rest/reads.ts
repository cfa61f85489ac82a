import { yieldNow } from '../event-loop.ts';
import type { Context } from '../graphql/context.ts';
import { readsStoredFields } from '../graphql/document-facts.ts';
import { memoryBudgetError } from '../http-error.ts';
import { type AnyRow, executeRow, refresh, requireAccess } from './execute-row.ts';
import { ROWS } from './routes.ts';

/** A GET route of the table. */
export interface RestRead {
  /** The route, which labels the metrics: `GET /api/v1/clusters`. */
  readonly operation: string;
  /** Whether the response depends only on the freshness counters and the caller. */
  readonly isCacheable: boolean;
  /** Reads the JSON text of the response from its start, one page at a time. Throws if the caller lacks the role. */
  readonly pages: (context: Context) => AsyncGenerator<Buffer>;
}

const READS = new Map(
  (ROWS as unknown as AnyRow[])
    .filter(({ method }) => method === 'get')
    .flatMap((row) => {
      const read: RestRead = {
        operation: `GET ${row.path}`,
        isCacheable: readsStoredFields(row.document, undefined),
        pages: (context) => readPages(row, context),
      };
      const path = row.path.replace(/\/$/, '');
      return [path, `${path}/`].map((path): [string, RestRead] => [path, read]);
    }),
);

/** Finds the GET route of the table at a path, with or without its trailing slash. */
export function findRead(path: string): RestRead | undefined {
  return READS.get(path);
}

/**
 * Yields the pages of a list, or the whole response of any other row. A page is only read when the consumer asks for
 * it, in its own iteration of the event loop. Checks the caller's roles again for each page, because a client may read
 * a list slowly.
 */
async function* readPages(row: AnyRow, context: Context): AsyncGenerator<Buffer> {
  let first: Record<string, object> | undefined;
  let after: string | null = null;
  do {
    await yieldNow();
    const current: Context = first ? await refresh(context) : context;
    requireAccess(row, current);
    const data: Record<string, object> = await executeRow(row, { id: 0, body: {}, after: after ?? undefined }, current);
    const [result] = Object.values(data);
    const text = JSON.stringify(row.toBody(result as never, (first ?? data) as never));
    after = row.next?.(result as never) ?? null;
    yield Buffer.from(row.next ? joinPage(text, { isFirst: !first, isLast: after === null }) : text);
    first ??= data;
  } while (after !== null);
}

/** Converts the JSON array of a page to its part of the array of all pages. */
function joinPage(array: string, { isFirst, isLast }: { isFirst: boolean; isLast: boolean }): string {
  const items = array.slice(1, -1);
  return `${isFirst ? '[' : items && ','}${items}${isLast ? ']' : ''}`;
}

/** A response as JSON: the pages read so far, and `rest` to read the others if it is too large to be held in memory. */
export interface ReadResponse {
  readonly pieces: Buffer[];
  readonly rest?: AsyncGenerator<Buffer>;
}

/**
 * How often a list is read because the registry changed between its pages. The last read may mix two registry states.
 */
const MAX_ATTEMPTS = 3;

/**
 * Reads a whole response, or stops after `maxBytes` if it is larger. Each page is one query and one turn of the event
 * loop. If the registry changed between two pages, the list is read again. `memory` counts the bytes held; if they
 * exceed it, this throws an HttpError with status 429.
 */
export async function readWhole(
  context: Context,
  pages: RestRead['pages'],
  {
    maxBytes,
    memory,
  }: { maxBytes: number; memory: { grow: (bytes: number) => boolean; shrink: (bytes: number) => void } },
): Promise<ReadResponse> {
  for (let attempt = 1; ; attempt++) {
    const { registry } = await context.database.counters();
    const rest = pages(context);
    const pieces: Buffer[] = [];
    let bytes = 0;
    for (let page = await rest.next(); !page.done; page = await rest.next()) {
      if (!memory.grow(page.value.length)) throw memoryBudgetError();
      pieces.push(page.value);
      bytes += page.value.length;
      if (bytes > maxBytes) return { pieces, rest };
    }
    const isConsistent = pieces.length === 1 || (await context.database.counters()).registry === registry;
    if (isConsistent || attempt === MAX_ATTEMPTS) return { pieces };
    memory.shrink(bytes);
  }
}
