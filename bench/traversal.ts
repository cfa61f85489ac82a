import { askWell } from './client.ts';
import { page } from './questions.ts';
import { type Sample, sequence } from './rounds.ts';

const PAGE = 100;

interface Page {
  readonly data: { readonly clusters: { readonly pageInfo: { hasNextPage: boolean; endCursor: string | null } } };
}

/** Reads the whole registry by following cursors, one page after another, over and over for so many seconds. */
export async function traverse(url: string, seconds: number): Promise<Omit<Sample, 'cpu'>> {
  const times: number[] = [];
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const began = performance.now();
    await readPages(url);
    times.push(performance.now() - began);
  }
  return sequence(times);
}

/** Every page of the registry, in turn. */
export async function readPages(url: string) {
  const answers = [];
  let after: string | null = null;
  do {
    const answer = await askWell(url, page(PAGE, after));
    answers.push(answer);
    const { pageInfo } = (JSON.parse(answer.body.toString()) as Page).data.clusters;
    after = pageInfo.hasNextPage ? pageInfo.endCursor : null;
  } while (after !== null);
  return answers;
}
