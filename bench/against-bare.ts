import { changeClusters, OPERATIONS, recordChanges } from './changes.ts';
import { callOrThrow, type HttpRequest, type HttpResponse } from './client.ts';
import { COUNTED, load } from './load.ts';
import { residentOf, type ServerProcess } from './process.ts';
import { startBare } from './recording.ts';
import { freshPage, oneCluster, page, restList } from './requests.ts';
import { alternate, compare, type Pair, withCpu } from './rounds.ts';
import { nameOf } from './seed.ts';
import { type Row, WHAT } from './targets.ts';
import { readPages, traverse } from './traversal.ts';

/** Seconds per round. wrk accepts only whole seconds, and seven rounds of 1 s vary less than five rounds of 2 s. */
const SECONDS = 1;

const LOADS: readonly (readonly [what: string, request: HttpRequest])[] = [
  [WHAT.list, restList],
  [WHAT.page50, page(50)],
  [WHAT.page100, page(100)],
  [WHAT.one, oneCluster(nameOf(1))],
];

/** Compares the product with a bare server that sends the same bytes. The two are measured in alternating rounds. */
export async function compareWithBare(
  product: ServerProcess,
  { clusters, rounds, progress }: { clusters: number; rounds: number; progress: (what: string) => void },
): Promise<Row[]> {
  const against = async <T>(
    what: string,
    responses: readonly HttpResponse[],
    run: (server: ServerProcess) => Promise<T>,
  ): Promise<Pair<T>[]> => {
    progress(what);
    const bare = await startBare(responses);
    try {
      return await alternate({ bare, product }, run, rounds);
    } finally {
      await bare.stop();
    }
  };

  const rows: Row[] = [];
  const compareLoad = async (what: string, request: HttpRequest) => {
    const response = await callOrThrow(product.url, {
      ...request,
      ...(request.body ? { body: request.body.replace(COUNTED, '') } : {}),
    });
    const pairs = await against(what, [response], (server) =>
      withCpu(server, () => load(server.url, request, SECONDS)),
    );
    rows.push({ what, clusters, figures: compare(pairs) });
  };
  const noteMemory = (what: string) => rows.push({ what, clusters, figures: { MB: residentOf(product.pid) } });

  for (const [what, request] of LOADS) await compareLoad(what, request);
  const pages = await readPages(product.url);
  const traversals = await against(WHAT.traversal, pages, (server) =>
    withCpu(server, () => traverse(server.url, SECONDS / 2)),
  );
  rows.push({ what: WHAT.traversal, clusters, figures: compare(traversals) });
  const changes = await against('changes', await recordChanges(product.url), changeClusters);
  for (const operation of OPERATIONS) {
    const pairs = changes.map(({ bare, product: measured }) => ({
      bare: bare[operation],
      product: measured[operation],
    }));
    rows.push({ what: WHAT[operation], clusters, figures: compare(pairs) });
  }
  noteMemory(WHAT.memory);
  // Measured last, because computing responses enlarges the heap permanently.
  await compareLoad(WHAT.fresh100, freshPage(100));
  noteMemory(WHAT.freshMemory);
  return withTimesFresh(rows);
}

function withTimesFresh(rows: readonly Row[]): Row[] {
  const rateOf = (what: string) => rows.find((row) => row.what === what)?.figures.rate ?? Number.NaN;
  const timesFresh = rateOf(WHAT.page100) / rateOf(WHAT.fresh100);
  return rows.map((row) => (row.what === WHAT.page100 ? { ...row, figures: { ...row.figures, timesFresh } } : row));
}
