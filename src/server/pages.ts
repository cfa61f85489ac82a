import type { IncomingMessage, ServerResponse } from 'node:http';
import { ASSETS } from './graphiql/assets.ts';
import type { GraphiQL } from './graphiql/page.ts';
import { REST } from './surface.ts';

type Send = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

let loading: Promise<GraphiQL> | undefined;

/** How a page, or what a page needs, is sent; undefined for every other request. Pages are the same for everybody. */
export function pageFor({ method, headers }: IncomingMessage, path: string): Send | undefined {
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  if (path === '/') return (_request, response) => void response.writeHead(302, { Location: '/graphql' }).end();
  if (path === '/graphql') return headers.accept?.includes('text/html') ? sendGraphiQL : undefined;
  return path.startsWith(ASSETS) ? sendAsset(path.slice(ASSETS.length)) : undefined;
}

async function sendGraphiQL(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { page } = await graphiql();
  await page.send(request, response);
}

function sendAsset(name: string): Send {
  return async (request, response) => {
    const asset = (await graphiql()).assets.get(name);
    if (asset) await asset.send(request, response);
    else REST.refuse(response, 404, 'not found');
  };
}

// At the first visit, never at start: it costs 107 ms and 40 MB.
function graphiql(): Promise<GraphiQL> {
  loading ??= import('./graphiql/page.ts')
    .then(({ loadGraphiQL }) => loadGraphiQL())
    .catch((error: unknown) => {
      loading = undefined;
      throw error;
    });
  return loading;
}
