import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shortAccept } from '../src/server/accept.ts';
import { startApp, type TestApp } from './support/app.ts';
import { send } from './support/wire.ts';

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.close());

const sendWithAccept = async (accept: string) => {
  const { status, headers } = await send(app, {
    path: '/graphql?query={__typename}',
    headers: { Accept: accept, Authorization: app.admin },
  });
  return { status, type: headers['content-type'], bytes: JSON.stringify(headers).length };
};
const joinMany = (write: (index: number) => string) =>
  Array.from({ length: 800 }, (_, index) => write(index)).join(',');

describe('a long Accept header', () => {
  it('a long Accept header that matches no type gets a 406 response with short headers', async () => {
    for (const accept of [joinMany(() => 'a/b'), joinMany((index) => `a/b${index}`), ','.repeat(8_000)]) {
      const { status, bytes } = await sendWithAccept(accept);
      expect(status).toBe(406);
      expect(bytes).toBeLessThan(2_000);
    }
  });

  it.each([
    ['application/json', joinMany(() => 'a/b')],
    ['application/graphql-response+json', joinMany((index) => `text/x${index}`)],
  ])('finds %s in a long Accept header as in a short one', async (type, others) => {
    for (const accept of [`${type},${others}`, `${others},${type}`, `${others},${type};q=0.5,${others}`])
      expect(await sendWithAccept(accept)).toMatchObject({ status: 200, type: `${type}; charset=utf-8` });
  });

  it('shortAccept keeps the order of the types, removes duplicates and drops types in other charsets', () => {
    const given = `text/*;charset=latin1, application/json;q=0.9, ${joinMany(() => 'application/json')}, */*, text/event-stream`;
    expect(shortAccept(given)).toBe('application/json, */*, text/event-stream');
    expect(shortAccept('text/html, */*')).toBe('text/html, */*');
  });
});
