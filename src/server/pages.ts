import type { IncomingMessage, ServerResponse } from 'node:http';
import { lazy } from '../lazy.ts';
import { REST } from './api.ts';
import { ASSETS } from './graphiql/assets.ts';

type Send = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/**
 * Returns a function that sends a page or one of its assets; undefined for every other request. Pages need no
 * authentication, because they are the same for every caller. `isHome`: `/` redirects to GraphiQL.
 */
export function pageFor(
  { method, headers }: IncomingMessage,
  path: string,
  { isHome }: { isHome: boolean },
): Send | undefined {
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  if (path === '/' && isHome)
    return (_request, response) => void response.writeHead(302, { Location: '/graphql' }).end();
  if (path === '/graphql' || path === '/graphql/') {
    if (!headers.accept?.includes('text/html')) return undefined;
    return async (...exchange) => (await graphiql()).page.send(...exchange);
  }
  if (path === '/openapi') return async (...exchange) => (await openApi()).page.send(...exchange);
  if (path === '/openapi.json') return async (...exchange) => (await openApi()).document.send(...exchange);
  return path.startsWith(ASSETS) ? sendAsset(path.slice(ASSETS.length)) : undefined;
}

function sendAsset(name: string): Send {
  return async (request, response) => {
    const asset = (await graphiql()).assets.get(name);
    if (asset) await asset.send(request, response);
    else REST.refuse(response, 404, 'not found');
  };
}

// Loaded on first use, not at start: loading GraphiQL takes a third of a second.
const graphiql = lazy(async () => (await import('./graphiql/page.ts')).loadGraphiQL());
const openApi = lazy(async () => (await import('./openapi-page.ts')).loadOpenApi());
