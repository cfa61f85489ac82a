import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CLUSTERS, startApp, type TestApp } from './support/app.ts';
import { freshApp, send, sendBytes } from './support/wire.ts';

const PATHS = [CLUSTERS, '/api/unknown', '/graphql', '/healthz', '/readyz', '/', '/unknown'];

describe('a server on loopback', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp({ ALLOWED_HOSTS: 'Kite.Internal, second.internal ,third.internal:8080' });
  });
  afterAll(() => app.close());

  it('a server on loopback answers 421 to a foreign Host on every path and method', async () => {
    for (const path of PATHS)
      for (const method of ['GET', 'POST', 'OPTIONS']) {
        const preflight = { 'Access-Control-Request-Method': 'PUT', Origin: 'http://evil.example' };
        const headers = { Host: 'evil.example', Authorization: app.admin, ...preflight };
        const { status, headers: answered, text } = await send(app, { method, path, headers, body: 'no json' });
        expect([path, status]).toEqual([path, 421]);
        expect(answered['content-type']).toBe('application/json; charset=utf-8');
        expect(JSON.parse(text)).toMatchObject(path === '/graphql' ? { errors: [{}] } : { error: expect.any(String) });
      }
  });

  it.each([
    ...['evil.example', 'evil.example.', 'evil.example:8080', 'localhost.evil.example', '127.0.0.1.nip.io'],
    ...['a.localhost', '', ':8080', ' ', 'other.internal', '[::1', '127.0.0.1.evil.example:80'],
  ])('a server on loopback rejects the Host %j', async (Host) => {
    expect((await send(app, { path: '/healthz', headers: { Host } })).status).toBe(421);
  });

  it.each([
    // A fully qualified name ends with a dot.
    'localhost.',
    'kite.internal.:8080',
    ...['127.0.0.1', '127.0.0.1:1', '127.9.9.9', '10.0.0.1:8080', '[::1]', '[::1]:8080', '[fd00::1]'],
    ...['localhost', 'localhost:8080', 'LOCALHOST', 'LocalHost:80'],
    ...['kite.internal', 'KITE.internal:8080', 'second.internal', 'third.internal:99'],
  ])('a server on loopback accepts the Host %s', async (Host) => {
    expect((await send(app, { path: '/healthz', headers: { Host } })).status).toBe(200);
  });

  it('a server on loopback rejects a request without a Host', async () => {
    expect(await sendBytes(app, 'GET /healthz HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 421 /);
    expect(await sendBytes(app, 'GET /healthz HTTP/1.1\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
  });
});

it('a server that does not listen on loopback accepts any Host', async () => {
  const app = await freshApp({ HOST: '0.0.0.0', SEAL_KEY: Buffer.alloc(32, 7).toString('base64') });
  for (const Host of ['kite.example.org', 'kite.example.org:443'])
    expect((await send(app, { path: '/healthz', headers: { Host } })).status).toBe(200);
});
