import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shortAccept } from '../src/server/accept.ts';
import { startApp, type TestApp } from './support/app.ts';
import { send } from './support/wire.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const ask = async (accept: string) => {
  const { status, headers } = await send(app, {
    path: '/graphql?query={__typename}',
    headers: { Accept: accept, Authorization: app.admin },
  });
  return { status, type: headers['content-type'], bytes: JSON.stringify(headers).length };
};
const many = (write: (index: number) => string) => Array.from({ length: 800 }, (_, index) => write(index)).join(',');

describe('an Accept header that is long', () => {
  it('is answered with a short head where no type fits', async () => {
    for (const accept of [many(() => 'a/b'), many((index) => `a/b${index}`), ','.repeat(8_000)]) {
      const { status, bytes } = await ask(accept);
      expect(status).toBe(406);
      expect(bytes).toBeLessThan(2_000);
    }
  });

  it.each([
    ['application/json', many(() => 'a/b')],
    ['application/graphql-response+json', many((index) => `text/x${index}`)],
  ])('means %s as a short one does', async (type, others) => {
    for (const accept of [`${type},${others}`, `${others},${type}`, `${others},${type};q=0.5,${others}`])
      expect(await ask(accept)).toMatchObject({ status: 200, type: `${type}; charset=utf-8` });
  });

  it('keeps the order of its types, each once, and none in another encoding', () => {
    const given = `text/*;charset=latin1, application/json;q=0.9, ${many(() => 'application/json')}, */*, text/event-stream`;
    expect(shortAccept(given)).toBe('application/json, */*, text/event-stream');
    expect(shortAccept('text/html, */*')).toBe('text/html, */*');
  });
});
