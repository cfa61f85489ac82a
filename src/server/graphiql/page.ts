import { readFile } from 'node:fs/promises';
import { type StaticContent, staticContent } from '../static-content.ts';
import { ASSETS } from './assets.ts';
import { readBundle } from './bundle.ts';
import { EXAMPLES } from './examples.ts';

/** The GraphiQL page, and its assets by name. */
export interface GraphiQL {
  readonly page: StaticContent;
  readonly assets: ReadonlyMap<string, StaticContent>;
}

const SCRIPT = 'text/javascript; charset=utf-8';
const STYLE = 'text/css; charset=utf-8';

// The editor inserts style elements, and its style sheet contains its font and icons as data URLs. Nothing else is
// allowed.
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "worker-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "font-src 'self' data:",
  "img-src 'self' data:",
  "connect-src 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

/** Builds the GraphiQL page, with a header for the API key. Every asset is served from this origin. */
export async function loadGraphiQL(): Promise<GraphiQL> {
  const [bundle, client, style, icon] = await Promise.all([
    readBundle(),
    read('client.js'),
    read('client.css'),
    read('icon.svg'),
  ]);
  const assets = new Map<string, StaticContent>();
  const add = (name: string, type: string, content: string | Uint8Array): string => {
    const headers = { 'Content-Type': type, 'Cache-Control': 'public, max-age=31536000, immutable' };
    const asset = staticContent(content, headers);
    const hashed = name.replace('.', `.${asset.hash}.`);
    assets.set(hashed, asset);
    return `${ASSETS}${hashed}`;
  };
  const settings = {
    workers: {
      editorWorkerService: add('editor-worker.js', SCRIPT, bundle.editorWorkerService),
      json: add('json-worker.js', SCRIPT, bundle.jsonWorker),
      graphql: add('graphql-worker.js', SCRIPT, bundle.graphqlWorker),
    },
    tabs: EXAMPLES.map(({ query, variables }) => ({
      query,
      variables: variables ? JSON.stringify(variables, null, 2) : null,
    })),
  };
  const html = pageText({
    icon: add('icon.svg', 'image/svg+xml', icon),
    styles: [add('graphiql.css', STYLE, bundle.css), add('client.css', STYLE, style)],
    graphiql: add('graphiql.js', SCRIPT, bundle.js),
    client: add('client.js', SCRIPT, client),
    settings: JSON.stringify(settings).replaceAll('<', '\\u003c'),
  });
  const headers = {
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': 'no-cache',
    'Content-Security-Policy': POLICY,
  };
  return { page: staticContent(html, headers), assets };
}

function read(file: string): Promise<string> {
  return readFile(new URL(file, import.meta.url), 'utf8');
}

function pageText(parts: { icon: string; styles: string[]; graphiql: string; client: string; settings: string }) {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Kitestring · GraphiQL</title>
<link rel="icon" href="${parts.icon}">
${parts.styles.map((style) => `<link rel="stylesheet" href="${style}">`).join('\n')}
<script type="application/json" id="settings">${parts.settings}</script>
<script src="${parts.graphiql}" defer></script>
<script src="${parts.client}" type="module"></script>
</head>
<body>
<header>
<h1><img src="${parts.icon}" alt="" width="24" height="24">Kitestring</h1>
<label for="key">API key</label>
<input id="key" type="password" placeholder="kite1-…" autocomplete="off" spellcheck="false">
<label><input id="remember" type="checkbox"> Remember in this tab</label>
<output id="state" for="key"></output>
</header>
<main id="graphiql"><noscript>GraphiQL needs JavaScript.</noscript></main>
</body>
</html>
`;
}
