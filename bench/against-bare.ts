import { answersOfChanges, changeClusters, OPERATIONS } from './changes.ts';
import { type Answer, type Ask, askWell } from './client.ts';
import { COUNTED, load } from './load.ts';
import { residentOf, type ServerProcess } from './process.ts';
import { freshPage, oneCluster, page, restList } from './questions.ts';
import { startBare } from './recording.ts';
import { compare, type Pair, takeTurns, withCpu } from './rounds.ts';
import { nameOf } from './seed.ts';
import { type Row, WHAT } from './targets.ts';
import { readPages, traverse } from './traversal.ts';

/** wrk takes whole seconds: seven rounds of one are steadier than five of two. */
const SECONDS = 1;

const LOADS: readonly (readonly [what: string, ask: Ask])[] = [
  [WHAT.list, restList],
  [WHAT.page50, page(50)],
  [WHAT.page100, page(100)],
  [WHAT.one, oneCluster(nameOf(1))],
];

/** Compares what the product answers with a bare server that sends the same bytes, taking turns. */
export async function compareWithBare(
  product: ServerProcess,
  { clusters, rounds, progress }: { clusters: number; rounds: number; progress: (what: string) => void },
): Promise<Row[]> {
  const against = async <T>(
    what: string,
    answers: readonly Answer[],
    run: (server: ServerProcess) => Promise<T>,
  ): Promise<Pair<T>[]> => {
    progress(what);
    const bare = await startBare(answers);
    try {
      return await takeTurns({ bare, product }, run, rounds);
    } finally {
      await bare.stop();
    }
  };

  const rows: Row[] = [];
  const compareLoad = async (what: string, ask: Ask) => {
    const answer = await askWell(product.url, { ...ask, ...(ask.body ? { body: ask.body.replace(COUNTED, '') } : {}) });
    const pairs = await against(what, [answer], (server) => withCpu(server, () => load(server.url, ask, SECONDS)));
    rows.push({ what, clusters, figures: compare(pairs) });
  };
  const noteMemory = (what: string) => rows.push({ what, clusters, figures: { MB: residentOf(product.pid) } });

  for (const [what, ask] of LOADS) await compareLoad(what, ask);
  const pages = await readPages(product.url);
  const traversals = await against(WHAT.traversal, pages, (server) =>
    withCpu(server, () => traverse(server.url, SECONDS / 2)),
  );
  rows.push({ what: WHAT.traversal, clusters, figures: compare(traversals) });
  const changes = await against('changes', await answersOfChanges(product.url), changeClusters);
  for (const operation of OPERATIONS) {
    const pairs = changes.map(({ bare, product: own }) => ({ bare: bare[operation], product: own[operation] }));
    rows.push({ what: WHAT[operation], clusters, figures: compare(pairs) });
  }
  noteMemory(WHAT.memory);
  // Last, since the heap keeps some of what computing took.
  await compareLoad(WHAT.fresh100, freshPage(100));
  noteMemory(WHAT.freshMemory);
  return withTimesFresh(rows);
}

function withTimesFresh(rows: readonly Row[]): Row[] {
  const rateOf = (what: string) => rows.find((row) => row.what === what)?.figures.rate ?? Number.NaN;
  const timesFresh = rateOf(WHAT.page100) / rateOf(WHAT.fresh100);
  return rows.map((row) => (row.what === WHAT.page100 ? { ...row, figures: { ...row.figures, timesFresh } } : row));
}
