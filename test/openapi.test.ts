import { Validator } from '@seriousme/openapi-schema-validator';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  ADDRESS_SHARE_EXCEEDED,
  INCOMPLETE_BODY,
  MEMORY_BUDGET_EXCEEDED,
  TOO_MANY_CHUNKS,
  UNREADABLE_BODY,
} from '../src/http-error.ts';
import type { OpenApiDocument } from '../src/rest/openapi.ts';
import { errorResult } from '../src/rest/results.ts';
import { ROWS } from '../src/rest/routes.ts';
import { SIGN_IN_ROUTES } from '../src/rest/sign-in.ts';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { openChromium, openWindow } from './support/chromium.ts';
import { sendBytes } from './support/wire.ts';

let app: TestApp;
let browser: Browser;

beforeAll(async () => {
  [app, browser] = await Promise.all([startApp(), openChromium()]);
});

afterAll(async () => {
  await browser?.close();
  await app?.close();
});

async function served(): Promise<OpenApiDocument> {
  return (await app.rest('GET', '/openapi.json', undefined, {})).body;
}

const pathOf = ({ path }: { path: string }) => path.replace(':id', '{id}');

test('any caller may read the document, and it is valid OpenAPI 3.1', async () => {
  const { status, headers } = await app.rest('GET', '/openapi.json', undefined, {});
  expect([status, headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8']);
  const validator = new Validator();
  expect(await validator.validate({ ...(await served()) })).toEqual({ valid: true });
  expect(validator.version).toBe('3.1');
});

test('the document describes each REST route and each sign-in route, and nothing else', async () => {
  const { paths } = await served();
  const described = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId }]) => [method, path, operationId]),
  );
  const routes = [...ROWS, ...SIGN_IN_ROUTES];
  expect(described.sort()).toEqual(routes.map((row) => [row.method, pathOf(row), row.operationId]).sort());
});

test('the document describes both ways to authenticate, the routes that need neither, and the Retry-After header', async () => {
  const { paths, components, security } = await served();
  expect(Object.keys(components.securitySchemes)).toEqual(['apiKey', 'session']);
  expect(security).toEqual([{ apiKey: [] }, { session: [] }]);
  const signIn = Object(paths['/api/auth/login/password']?.post);
  expect(signIn.security).toEqual([]);
  expect(Object.keys(signIn.responses)).toEqual(expect.arrayContaining(['204', '401', '429']));
  expect(Object(paths['/api/v1/clusters']?.get).security).toBeUndefined();
});

test('the document has every field of a request body, and the optional ones may be null', async () => {
  const { paths } = await served();
  for (const row of ROWS) {
    const schema = paths[pathOf(row)]?.[row.method]?.requestBody?.content['application/json'].schema;
    expect(Object.keys(schema?.properties ?? {})).toEqual(Object.keys(row.body?.shape ?? {}));
    for (const [name, field] of Object.entries(schema?.properties ?? {}))
      expect([name, [Object(field).type].flat().includes('null')]).toEqual([name, !schema?.required?.includes(name)]);
  }
});

test('callers get the error sentences of the document, under the documented status', async () => {
  const expectDocumentedError = async (operationId: string, { status, body }: { status: number; body: unknown }) => {
    const row = ROWS.find((one) => one.operationId === operationId);
    if (!row) throw new Error(operationId);
    const response = Object((await served()).paths[pathOf(row)]?.[row.method]?.responses)[status];
    const examples = Object.values(response.content['application/json'].examples);
    expect(examples, `${operationId} ${status}`).toContainEqual({ value: errorResult.parse(body) });
  };
  await expectDocumentedError('listClusters', await app.rest('GET', CLUSTERS, undefined, {}));
  await expectDocumentedError(
    'listClusters',
    await app.rest('GET', CLUSTERS, undefined, { Authorization: 'kite9-nobody' }),
  );
  await expectDocumentedError(
    'listClusters',
    await app.rest('GET', CLUSTERS, undefined, { Authorization: app.keyWithoutRole }),
  );
  await expectDocumentedError('importClusters', await app.rest('POST', `${CLUSTERS}import`, {}));
  const { body: made } = await app.rest('POST', CLUSTERS, { name: 'one', isDefault: true });
  await expectDocumentedError('importClusters', await app.rest('POST', `${CLUSTERS}import`, { inCluster: true }));
  await expectDocumentedError('createCluster', await app.rest('POST', CLUSTERS, { name: 'one' }));
  await expectDocumentedError('createCluster', await app.rest('POST', CLUSTERS, {}));
  await expectDocumentedError('createCluster', await app.rest('POST', CLUSTERS, 'no JSON'));
  const packed = { Authorization: app.admin, 'Content-Encoding': 'gzip' };
  await expectDocumentedError('createCluster', await app.rest('POST', CLUSTERS, 'not packed', packed));
  const head = `Host: localhost\r\nAuthorization: ${app.admin}\r\nTransfer-Encoding: chunked\r\n\r\n`;
  const inChunks = await sendBytes(app, `POST ${CLUSTERS} HTTP/1.1\r\n${head}${'1\r\n \r\n'.repeat(4_097)}`);
  expect(inChunks).toMatch(/^HTTP\/1\.1 400 /);
  await expectDocumentedError('createCluster', { status: 400, body: JSON.parse(inChunks.split('\r\n\r\n')[1] ?? '') });
  await expectDocumentedError('createCluster', await app.rest('POST', CLUSTERS, 'x'.repeat(app.config.maxBody + 1)));
  await expectDocumentedError('updateCluster', await app.rest('PUT', `${CLUSTERS}0`, {}));
  await expectDocumentedError('updateCluster', await app.rest('PUT', `${CLUSTERS}999`, {}));
  await expectDocumentedError('updateCluster', await app.rest('PUT', `${CLUSTERS}${made.id}`, { isDefault: 1 }));
  await expectDocumentedError('deleteCluster', await app.rest('DELETE', `${CLUSTERS}${made.id}`));
  await expectDocumentedError('deleteCluster', await app.rest('DELETE', `${CLUSTERS}999`));
});

test('every route documents the refusal of an address with too many open requests, and each route with a body its body errors', async () => {
  const { paths } = await served();
  const routes = [...ROWS, ...SIGN_IN_ROUTES];
  for (const route of routes) {
    const operation = Object(paths[pathOf(route)])[route.method];
    const documentedSentences = (status: number) =>
      Object.values(operation.responses[status]?.content['application/json'].examples ?? {}).map(
        (example) => Object(example).value.error,
      );
    expect(documentedSentences(429), route.operationId).toEqual(
      expect.arrayContaining([ADDRESS_SHARE_EXCEEDED, MEMORY_BUDGET_EXCEEDED]),
    );
    if (route.body)
      expect(documentedSentences(400)).toEqual(
        expect.arrayContaining([TOO_MANY_CHUNKS, UNREADABLE_BODY, INCOMPLETE_BODY]),
      );
  }
});

test('the routes answer as the document says', async () => {
  const unconfiguredApp = await startApp();
  try {
    const { body: imported } = await unconfiguredApp.rest('POST', `${CLUSTERS}import`, { inCluster: true });
    const { body: created } = await unconfiguredApp.rest('POST', CLUSTERS, {
      name: 'demo-cluster',
      config: 'no kubeconfig',
    });
    const { body: updated } = await unconfiguredApp.rest('PUT', `${CLUSTERS}${created.id}`, { enabled: true });
    const { body: listed } = await unconfiguredApp.rest('GET', CLUSTERS);
    const { body: visible } = await unconfiguredApp.rest('GET', '/api/v1/clusters');
    const { body: deleted } = await unconfiguredApp.rest('DELETE', `${CLUSTERS}${created.id}`);
    const keys = '/api/v1/admin/apikeys/';
    const { body: made } = await unconfiguredApp.rest('POST', keys, {
      name: 'ci',
      expiresAt: '2999-01-01T01:00:00+01:00',
    });
    const { body: shown } = await unconfiguredApp.rest('GET', keys);
    const { body: revoked } = await unconfiguredApp.rest('DELETE', `${keys}${made.apiKey.id}`);
    const answers = {
      ...{ listClusters: listed, createCluster: created, updateCluster: updated, deleteCluster: deleted },
      ...{ importClusters: imported, listVisibleClusters: visible },
      ...{ createApiKey: made, listApiKeys: shown, deleteApiKey: revoked },
    };
    for (const { operationId, result } of ROWS) {
      const answer = Object(answers)[operationId];
      expect(answer, operationId).toBeDefined();
      expect(result.safeParse(answer).data, operationId).toEqual(answer);
    }
  } finally {
    await unconfiguredApp.close();
  }
});

test('the page shows every operation, loads nothing from other origins, and logs nothing to the console', async () => {
  await using visit = await openWindow(browser);
  await visit.page.goto(`${app.url}/openapi`);
  for (const { operationId, summary } of ROWS) expect(await visit.page.innerText(`#${operationId}`)).toContain(summary);
  expect(await visit.page.evaluate(`getComputedStyle(document.querySelector('pre')).overflowX`)).toBe('auto');
  expect(visit.complaints).toEqual([]);
  expect(visit.requestedUrls).toEqual([`${app.url}/openapi`]);
  const { headers } = await app.rest('GET', '/openapi', undefined, {});
  expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
});
