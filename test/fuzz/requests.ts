import { gzipSync } from 'node:zlib';
import { openApiDocument } from '../../src/rest/openapi.ts';
import { generateAttack } from './attacks.ts';
import { generateDocument } from './documents.ts';
import { Random } from './random.ts';
import type { FuzzCaller } from './registry.ts';
import { hostileText, INTEGERS, strangeValue, TEXTS } from './values.ts';

/** One request, and how to send it. */
export interface FuzzRequest {
  readonly caller: FuzzCaller;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
  /** A short description that is the same for requests that differ only in their values. */
  readonly about: string;
  readonly isMutation: boolean;
  /** How often the request is sent over one connection before any response is read; 1 is a normal request. */
  readonly pipelined: number;
  /** Whether the response continues until the client disconnects. */
  readonly isStream: boolean;
  /** The REST lists of clusters have no size limit: they grow with the registry. */
  readonly isUnlimited: boolean;
}

/** The maximum number of bytes of a body that the product reads. */
const MAX_BODY = 4 * 1024 * 1024;
/** Bytes for values that fit into an anonymous caller's request body beside a document. */
const SMALL_BODY = 4_000;

type Parts = Pick<FuzzRequest, 'method' | 'path' | 'headers' | 'body' | 'about' | 'isMutation'> & {
  isStream?: boolean;
};

/**
 * Generates the request that a seed and a number determine. A later attempt differs in insignificant bytes, so that no
 * cache knows it.
 */
export function generateRequest(
  callers: readonly FuzzCaller[],
  seed: number,
  number: number,
  attempt = 0,
): FuzzRequest {
  const random = new Random(seed, number);
  const caller = random.pick(callers);
  random.allow(caller.name === 'anonymous' ? SMALL_BODY : random.chance(0.1) ? MAX_BODY * 1.1 : MAX_BODY * 0.95);
  const parts = random.chance(0.75) ? graphQLRequest(random, caller, attempt) : restRequest(random, attempt);
  return {
    isStream: false,
    ...parts,
    caller,
    headers: { ...strangeHeaders(random), ...parts.headers, ...caller.headers },
    pipelined: random.chance(0.01) ? random.pick([2, 100, 1_000]) : 1,
    isUnlimited: parts.method === 'GET' && /\/clusters\/?$/.test(parts.path),
  };
}

function graphQLRequest(random: Random, caller: FuzzCaller, attempt: number): Parts {
  const generated = random.chance(0.25) ? generateAttack(random, caller.name) : generateDocument(random, caller.fields);
  const { query, variables, about, isMutation, isSubscription } = generated;
  const document = attempt === 0 ? query : `${query} #${attempt}`;
  const parts: Parts = {
    ...{ method: 'POST', path: '/graphql', about: `GraphQL ${about}`, isMutation, isStream: isSubscription },
    ...{ headers: isSubscription ? { Accept: 'text/event-stream' } : {}, body: '' },
  };
  if (random.chance(0.05) && document.length < 7_000) {
    const search = new URLSearchParams({ query: document, variables: JSON.stringify(variables).slice(0, 1_000) });
    return { ...parts, method: 'GET', path: `/graphql?${search}` };
  }
  const content: unknown = random.chance(0.03)
    ? [{ query: document }, { query: document }]
    : { query: document, variables, ...(random.chance(0.03) && { [hostileText(random)]: strangeValue(random) }) };
  return withBody(random, parts, content, attempt);
}

interface Route {
  readonly method: string;
  readonly path: string;
  /** The fields of the request body with their JSON types; empty if the route takes no body. */
  readonly fields: readonly (readonly [name: string, type: string])[];
}

const ROUTES: readonly Route[] = Object.entries(openApiDocument().paths).flatMap(([path, operations]) =>
  Object.entries(operations).map(([method, { requestBody }]) => {
    const { properties = {} } = (requestBody?.content['application/json'].schema ?? {}) as {
      properties?: Record<string, { type?: string }>;
    };
    const fields = Object.entries(properties).map(([name, { type = '' }]) => [name, type] as const);
    return { method: method.toUpperCase(), path, fields };
  }),
);

function restRequest(random: Random, attempt: number): Parts {
  const { method, path: pattern, fields } = random.pick(ROUTES);
  const id = random.chance(0.8) ? 1 + random.below(20) : random.pick([...INTEGERS, '%00', '%zz', 'x'.repeat(8_192)]);
  const path = pattern.replace('{id}', String(id));
  const about = `REST ${method} ${pattern}`;
  const parts: Parts = { method, path, about, isMutation: method !== 'GET', headers: {}, body: '' };
  if (method === 'GET') return parts;
  const chosenFields = fields.filter(() => random.chance(0.6));
  const content = Object.fromEntries(chosenFields.map(([name, type]) => [name, fieldValue(random, name, type)]));
  return withBody(random, parts, random.chance(0.1) ? strangeValue(random) : content, attempt);
}

function fieldValue(random: Random, name: string, type: string): unknown {
  if (random.chance(0.08)) return strangeValue(random);
  if (type === 'boolean') return random.chance(0.5);
  if (type === 'array')
    return Array.from({ length: random.pick([0, 1, 100, 101]) }, () => fieldValue(random, name, ''));
  return (TEXTS[name] ?? (() => hostileText(random)))(random);
}

const TYPES = [
  'application/json; charset=utf-16',
  'text/plain',
  'application/graphql',
  'multipart/form-data; boundary=a',
  'x',
];

let bomb: Buffer | undefined;
/** 100 MB of spaces in 97 kB. */
function gzipBomb(): Buffer {
  bomb ??= gzipSync(Buffer.alloc(100_000_000, ' '));
  return bomb;
}

type Encoding = (text: string, random: Random) => Pick<FuzzRequest, 'body'> & { more?: Record<string, string> };

/**
 * Encodings of a body other than plain JSON: compressed, truncated, or with JSON near the limits before the actual
 * content.
 */
const ENCODINGS: Readonly<Record<string, Encoding>> = {
  'another type': (body, random) => ({ body, more: { 'Content-Type': random.pick(TYPES) } }),
  gzip: (text) => ({ body: gzipSync(text), more: { 'Content-Encoding': 'gzip' } }),
  'gzip bomb': () => ({ body: gzipBomb(), more: { 'Content-Encoding': 'gzip' } }),
  'cut off': (text, random) => ({ body: text.slice(0, random.below(text.length)) }),
  'not UTF-8': (text) => ({ body: Buffer.from([0xff, 0xfe, ...Buffer.from(text.slice(0, 10_000))]) }),
  'deep lists': () => ({ body: '['.repeat(2_000_000) + ']'.repeat(2_000_000) }),
  'many lists': () => ({ body: `[${'[],'.repeat(1_300_000)}[]]` }),
  'duplicate keys': (text) => ({ body: text.replace(/^{/, () => `{${`"name":"a",`.repeat(350_000)}`) }),
  'many keys': (text) => ({ body: text.replace(/^{/, () => `{${keys(350_000)}`) }),
  'many values': (text) => ({ body: text.replace(/^{/, () => `{"variables":{"v0":[${'{},'.repeat(1_000_000)}{}]},`) }),
};

/** Adds the content as a body: usually as plain JSON, sometimes in one of the other encodings. */
function withBody(random: Random, parts: Parts, content: unknown, attempt: number): Parts {
  const text = JSON.stringify(content) + ' '.repeat(attempt);
  const headers = { 'Content-Type': 'application/json', ...parts.headers };
  if (random.chance(0.94)) return { ...parts, headers, body: text };
  const [name, encode] = random.pick(Object.entries(ENCODINGS));
  const { body, more } = encode(text, random);
  return { ...parts, about: `${parts.about}, body: ${name}`, headers: { ...headers, ...more }, body };
}

const keys = (count: number) => Array.from({ length: count }, (_, at) => `"k${at}":0,`).join('');

function strangeHeaders(random: Random): Record<string, string> {
  if (!random.chance(0.05)) return {};
  return random.pick<() => Record<string, string>>([
    () => ({
      Accept: random.pick(['*/*', 'text/html', 'application/graphql-response+json', 'text/event-stream, '.repeat(400)]),
    }),
    () => ({ 'If-None-Match': '"a", '.repeat(2_000) }),
    () => ({ Cookie: 'auth_token=a; '.repeat(1_000) }),
    () => Object.fromEntries(Array.from({ length: 120 }, (_, at) => [`X-Field-${at}`, 'a'])),
    () => ({ 'X-Forwarded-For': '127.0.0.1, '.repeat(1_000), Forwarded: 'for=127.0.0.1;' }),
    () => ({ Origin: 'https://elsewhere.example' }),
  ])();
}
