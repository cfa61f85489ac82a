import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { type Media, type OpenApiDocument, type Operation, openApiDocument, type Schema } from '../rest/openapi.ts';
import { type StaticContent, staticContent } from './static-content.ts';

/** The OpenAPI document, and an HTML page that renders it. */
export interface OpenApiPages {
  readonly document: StaticContent;
  readonly page: StaticContent;
}

const EXAMPLE_ORIGIN = 'http://localhost:8080';

/** Generates the document as JSON and as an HTML page, which works without scripts. */
export async function loadOpenApi(): Promise<OpenApiPages> {
  const document = openApiDocument();
  const style = await readFile(new URL('openapi-page.css', import.meta.url), 'utf8');
  const styleHash = createHash('sha256').update(style).digest('base64');
  const revalidate = { 'Cache-Control': 'no-cache' };
  return {
    document: staticContent(JSON.stringify(document), {
      ...revalidate,
      'Content-Type': 'application/json; charset=utf-8',
    }),
    page: staticContent(pageOf(document, style), {
      ...revalidate,
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy': `default-src 'none'; style-src 'sha256-${styleHash}'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'`,
    }),
  };
}

function pageOf({ info, paths, components }: OpenApiDocument, style: string): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
  const contents = operations.map(
    ({ method, path, operation }) =>
      `<li><a href="#${operation.operationId}"><b class="${method}">${method}</b> <code>${path}</code></a> ${html(operation.summary)}</li>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Kitestring · REST</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<nav><a href="/graphql">GraphiQL</a> <a href="/openapi.json">openapi.json</a></nav>
<h1>Kitestring’s REST routes <small>${html(info.version)}</small></h1>
<p>${html(info.description)}</p>
<p>${html(`\`Authorization\`: ${components.securitySchemes.apiKey.description}`)}</p>
<ul class="contents">
${contents.join('\n')}
</ul>
${operations.map(section).join('\n')}
</body>
</html>
`;
}

function section({ method, path, operation }: { method: string; path: string; operation: Operation }): string {
  const body = operation.requestBody?.content['application/json'].schema;
  const parameters = operation.parameters ?? [];
  const fields = [
    ...parameters.map(({ name, schema, description }) => row(name, { ...schema, description } as Schema, true)),
    ...Object.entries(body?.properties ?? {}).map(([name, field]) =>
      row(name, field as Schema, body?.required?.includes(name) ?? false),
    ),
  ];
  const responses = Object.entries(operation.responses).map(
    ([status, { description, content }]) =>
      `<dt>${status}</dt><dd>${html(description)}${content ? examplesOf(content['application/json']) : ''}</dd>`,
  );
  return `<section id="${operation.operationId}">
<h2><b class="${method}">${method}</b> <code>${path}</code></h2>
<p>${html(operation.summary)}. ${html(operation.description ?? '')}</p>
<pre>${html(curl(method, path, body), false)}</pre>
${fields.length > 0 ? `<table><tr><th>Field<th>Type<th>Meaning</tr>${fields.join('')}</table>` : ''}
<dl>${responses.join('\n')}</dl>
</section>`;
}

function curl(method: string, path: string, body: Schema | undefined): string {
  const example = body?.examples?.[0];
  const data = example === undefined ? '' : ` \\\n  -d '${JSON.stringify(example)}'`;
  const verb = method === 'GET' ? '' : `-X ${method} `;
  return `curl ${verb}${EXAMPLE_ORIGIN}${path.replace('{id}', '1')} \\\n  -H 'Authorization: kite<id>-<secret>'${data}`;
}

function row(name: string, schema: Schema, required: boolean): string {
  const type = [schema.type ?? []].flat().filter((type) => type !== 'null');
  const limit = schema.maxLength === undefined ? '' : ` Up to ${schema.maxLength.toLocaleString('en')} characters.`;
  return `<tr><td><code>${html(name)}</code>${required ? ' (required)' : ''}<td>${type.join(', ')}<td>${html(`${schema.description ?? ''}${limit}`)}</tr>`;
}

function examplesOf({ schema, examples }: Media): string {
  const schemaExamples = 'examples' in schema ? schema.examples : undefined;
  const values = examples ? Object.values(examples).map(({ value }) => value) : (schemaExamples ?? []);
  return values.map((value) => `<pre>${html(JSON.stringify(value, null, examples ? 0 : 2), false)}</pre>`).join('');
}

/** Escapes text as HTML. In prose, text in backticks becomes a code element. */
function html(text: string, prose = true): string {
  const escaped = text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
  return prose ? escaped.replace(/`([^`]*)`/g, '<code>$1</code>') : escaped;
}
