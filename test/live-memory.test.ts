import type { RequestListener } from 'node:http';
import { describe, expect, it, vi } from 'vitest';
import { yieldNow } from '../src/event-loop.ts';
import { MAX_ITEM_BYTES, readJsonList, VALUE_BYTES } from '../src/kubernetes/api/json-list.ts';
import { Connection } from '../src/kubernetes/transport/connection.ts';
import { LiveMemory } from '../src/kubernetes/transport/live-memory.ts';
import { kubeconfigOf, probingApp, register, untilState } from './support/live.ts';
import { atLoad } from './support/load.ts';
import { onTestFinished } from './support/running-test.ts';
import { answerWith, kubernetes, standIn } from './support/stand-in.ts';

const MiB = 1024 * 1024;

function read(text: string, options: object = {}) {
  return readJsonList(Buffer.from(text), { field: 'items', maxItems: 250, pick: (item) => item, ...options });
}

describe('a list that is read item by item', () => {
  it.each([
    { kind: 'List', items: [] },
    { items: [{ a: 1 }, { b: [1, { c: 'items' }] }], metadata: { continue: 'x', items: [1] } },
    { 'it"ems': [1], items: [{ s: '\\' }, { s: '\\"' }, { s: ',]}"' }, { s: 'é\u2028' }], after: { items: {} } },
    { a: 'items', items: [{}, {}] },
    { nested: { items: [{ wrong: true }] }, items: [{ right: true }] },
  ])('reads a list exactly as JSON.parse does: %j', async (value) => {
    for (const text of [JSON.stringify(value), JSON.stringify(value, null, 2)]) {
      const { head, items } = await read(text);
      expect({ ...head, items }).toEqual(value);
    }
  });

  it.each([
    '',
    '<html>',
    '[]',
    'null',
    '{}',
    '{"items":{}}',
    '{"items":[}',
    '{"items":[{}',
    '{"items":[{}]',
    '{"items":[{},]}',
    '{"items":[,{}]}',
    '{"items":[{} {}]}',
    '{"items":[{}]}x',
    '{"items" [{}]}',
    '{"x":"items"[{}]}',
    '{"items":["]}',
    '{"items":[{"a":1]}]}',
  ])('rejects the malformed list %j', async (text) => {
    await expect(read(text)).rejects.toMatchObject({ code: 'NOT_KUBERNETES' });
  });

  it('omits and counts items that are not objects', async () => {
    expect((await read('{"items":[1,null,[],"x",{"a":1}]}')).items).toEqual([{ a: 1 }]);
  });

  it('counts the items beyond the limit, and does not parse them', async () => {
    expect(await read('{"items":[{"a":1},null,[]]}', { maxItems: 2 })).toMatchObject({ items: [{ a: 1 }], dropped: 1 });
    const many = `{"items":[${Array(600_000).fill('{}')}]}`;
    expect(await read(many)).toMatchObject({ items: { length: 250 }, dropped: 599_750 });
  });

  it('reads null as an empty list, as Go writes it', async () => {
    expect(await read('{"items":null,"x":1}')).toEqual({ head: { items: null, x: 1 }, items: [], dropped: 0 });
  });

  it.each([
    ['nested arrays', `{"items":[${'['.repeat(8 * MiB)}`, 'NOT_KUBERNETES', '210 levels'],
    ['two million empty items', `{"items":[${Array(2_000_000).fill('{}')}]}`, 'RESPONSE_TOO_LARGE', '1,500,000 values'],
    [
      'a million values in one item',
      `{"items":[[${Array(1_200_000).fill('{}')}]]}`,
      'RESPONSE_TOO_LARGE',
      '150,000 values',
    ],
    [
      'a million values in some items',
      `{"items":[${Array(11).fill(`[${Array(149_000).fill('1')}]`)}]}`,
      'RESPONSE_TOO_LARGE',
      '1,500,000 values',
    ],
    [
      'one item',
      `{"items":[{},{"a":"${'x'.repeat(MAX_ITEM_BYTES)}"}]}`,
      'RESPONSE_TOO_LARGE',
      'more than 2 MiB in one of its items',
    ],
    ['a long head', `{"items":[],"x":"${'x'.repeat(MiB)}"}`, 'RESPONSE_TOO_LARGE', '262144 bytes besides its items'],
    ['a list under another name', `{"others":[${Array(100_000).fill('{}')}]}`, 'RESPONSE_TOO_LARGE', '262144 bytes'],
  ])('names the limit that %s exceed', async (_what, text, code, limit) => {
    const pick = vi.fn();
    await expect(read(text, { pick })).rejects.toMatchObject({ code, message: expect.stringContaining(limit) });
    expect(pick.mock.calls.length).toBeLessThanOrEqual(250);
  });

  it('reads a list in slices: other tasks run after every 256 KiB at the latest', async () => {
    const item = { text: 'x'.repeat(60_000), list: Array(1_000).fill(1) };
    const text = JSON.stringify({ items: Array(200).fill(item) });
    let [turns, since, most] = [0, 0, 0];
    let isDone = false;
    const count = () => {
      turns += 1;
      since = 0;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    await read(text, {
      pick: () => {
        since += JSON.stringify(item).length;
        most = Math.max(most, since);
      },
    });
    isDone = true;
    expect(turns).toBeGreaterThan(text.length / (384 * 1024));
    expect(most).toBeLessThan(512 * 1024);
  });

  it.each(['x', '\\"', '\\\\', '\\u006b', 'é'])('scans long strings of %j in slices too', async (part) => {
    const bytes = Buffer.from(`{"items":["${part.repeat((8 * MiB) / part.length)}"]}`);
    let turns = 0;
    let isDone = false;
    const count = () => {
      turns += 1;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    const reading = readJsonList(bytes, { field: 'items', maxItems: 250, pick: (item) => item });
    await expect(reading).rejects.toMatchObject({ code: 'RESPONSE_TOO_LARGE' });
    isDone = true;
    expect(turns).toBeGreaterThan(bytes.length / (1024 * 1024));
  });

  it('reads one slice per turn of the event loop, however many lists are read at once', async () => {
    let [turn, begun] = [0, 0];
    const perTurn = new Map<number, number>();
    const count = () => {
      turn += 1;
      if (begun < 30) setImmediate(count);
    };
    setImmediate(count);
    const slices = async () => {
      for (let slice = 0; slice < 3; slice++) {
        await yieldNow();
        begun += 1;
        perTurn.set(turn, (perTurn.get(turn) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: 10 }, slices));
    expect(Math.max(...perTurn.values())).toBeLessThanOrEqual(2);
  });

  it('charges the text and the values of items before it stores them', async () => {
    const account = new LiveMemory();
    const memory = account.hold();
    const text = '{"items":[{"a":1},{"b":[1,2]}]}';
    await read(text, { memory });
    // The items are 7 and 11 bytes; the commas and brackets of both, and the comma between them, are counted as values.
    expect(account.held).toBe(18 + 5 * VALUE_BYTES);
    memory.release();
    expect(account.held).toBe(0);
  });
});

describe('the memory of live reads', () => {
  it('refuses memory beyond the budget and releases memory exactly once', () => {
    const account = new LiveMemory(10);
    const [one, other] = [account.hold(), account.hold()];
    one.take(6);
    expect(() => other.take(5)).toThrow(expect.objectContaining({ code: 'OUT_OF_RESOURCES' }));
    expect(account.held).toBe(6);
    one.release();
    one.release();
    one.giveBack(6);
    expect(account.held).toBe(0);
    expect(() => one.take(1)).toThrow(expect.objectContaining({ code: 'CANCELLED' }));
    other.take(10);
  });

  it('counts the bytes of a response as they arrive, in a buffer of at most twice their number', async () => {
    const account = new LiveMemory();
    const sent = 300_000;
    const server = await standIn((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.socket?.setNoDelay(true);
      const text = Buffer.from(JSON.stringify('x'.repeat(sent - 2)));
      let at = 0;
      // Many small chunks: each is its own TLS record.
      const more = () => {
        for (let count = 0; count < 100 && at < sent; count++) response.write(text.subarray(at, ++at));
        if (at === 5_000) response.end(text.subarray(at));
        else setImmediate(more);
      };
      more();
    });
    const connection = new Connection({ target: server.target(), policy: { allowLoopback: true } });
    onTestFinished(() => connection.close());
    const memory = account.hold();
    const { body, discard } = await connection.call('/x', { memory });
    expect(body.length).toBe(sent);
    expect(account.held).toBeLessThanOrEqual(2 * sent);
    expect(body.buffer.byteLength).toBe(account.held);
    discard();
    discard();
    expect(account.held).toBe(0);
    // A failed call holds no memory.
    await expect(connection.call('/x', { memory, maxBytes: 1_000 })).rejects.toMatchObject({
      code: 'RESPONSE_TOO_LARGE',
    });
    const small = new LiveMemory(100_000).hold();
    await expect(connection.call('/x', { memory: small })).rejects.toMatchObject({ code: 'OUT_OF_RESOURCES' });
    expect(account.held).toBe(0);
  });

  it('live reads hold at most 256 MiB: parts beyond it fail, other parts and the next response succeed', {
    timeout: atLoad(30_000),
  }, async () => {
    const resources = [{ name: 'pods', kind: 'Pod', namespaced: true, verbs: ['list'] }];
    // 14 MiB of text and 500,000 values: some 55 MiB each.
    const list = JSON.stringify({
      items: Array(100).fill({ text: 'x'.repeat(140_000), numbers: Array(5_000).fill(1) }),
    });
    const probes = kubernetes();
    const answer: RequestListener = (request, response) => {
      if (request.url === '/api/v1') answerWith(response, 200, { resources });
      else if (request.url?.startsWith('/api/v1/pods')) response.end(list);
      else probes(request, response);
    };
    const app = await probingApp();
    const id = await register(app, 'a', kubeconfigOf((await standIn(answer)).target()));
    await untilState(app, id, 'READY');
    const sendRequest = async (parts: number) => {
      const aliases = Array.from(
        { length: parts },
        (_, n) => `p${n}: resources(apiVersion: "v1", kind: "Pod", first: 100) { objects { name } }`,
      );
      const { data } = await app.graphql(
        `{ cluster(by: { name: "a" }) { live { ${aliases.join(' ')} faults { code message } } } }`,
      );
      const { faults, ...rest } = data.cluster.live;
      return { faults, whole: Object.values(rest).filter((part) => part !== null).length };
    };
    const much = await sendRequest(8);
    expect(much.faults.length).toBeGreaterThan(0);
    for (const { code, message } of much.faults) {
      expect(code).toBe('OUT_OF_RESOURCES');
      expect(message).toContain('256 MiB');
    }
    expect(much.whole).toBe(8 - much.faults.length);
    expect(await sendRequest(2)).toEqual({ faults: [], whole: 2 });
    expect(app.logged().match(/clusters cannot be called/g)).toHaveLength(1);
  });
});
