import { callOrThrow } from './client.ts';
import { page } from './requests.ts';
import { type Sample, sequence } from './rounds.ts';

const PAGE = 100;

interface Page {
  readonly data: { readonly clusters: { readonly pageInfo: { hasNextPage: boolean; endCursor: string | null } } };
}

/** Reads the whole registry page by page, repeatedly for `seconds` seconds. */
export async function traverse(url: string, seconds: number): Promise<Omit<Sample, 'cpu'>> {
  const times: number[] = [];
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const start = performance.now();
    await readPages(url);
    times.push(performance.now() - start);
  }
  return sequence(times);
}

/** Reads every page of the registry and returns the responses. */
export async function readPages(url: string) {
  const pages = [];
  let after: string | null = null;
  do {
    const response = await callOrThrow(url, page(PAGE, after));
    pages.push(response);
    const { pageInfo } = (JSON.parse(response.body.toString()) as Page).data.clusters;
    after = pageInfo.hasNextPage ? pageInfo.endCursor : null;
  } while (after !== null);
  return pages;
}
