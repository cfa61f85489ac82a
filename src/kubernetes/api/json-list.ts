import { yieldNow } from '../../event-loop.ts';
import { ClusterError, notKubernetes } from '../cluster-error.ts';
import type { MemoryHold } from '../transport/live-memory.ts';
import { isRecord } from './redact.ts';

/** Maximum nesting depth of a response; redaction allows 200 levels in one object. */
const MAX_DEPTH = 210;
/**
 * Maximum JSON values in one item. An object of 1.5 MiB (etcd's limit) has about 75,000; parsing one item of this
 * size blocks for about 30 ms.
 */
const MAX_ITEM_VALUES = 150_000;
/** Maximum JSON values in all items: 16 MiB of Pods have this many. */
const MAX_VALUES = 1_500_000;
/**
 * Maximum bytes of one item: etcd stores objects of at most 1.5 MiB. One
 * item is parsed and redacted without yielding.
 */
export const MAX_ITEM_BYTES = 2 * 1024 * 1024;
/** Maximum bytes outside the items, such as a list's resource version and continue token. */
const MAX_HEAD_BYTES = 256 * 1024;
/** Bytes to scan or parse before yielding to the event loop: a millisecond of work, or 15 until V8 has optimised it. */
const SLICE_BYTES = 64 * 1024;
/**
 * Bytes of heap per JSON value in addition to its text. Measured in V8:
 * from 51 for an empty array to 87 for a property.
 */
export const VALUE_BYTES = 80;

const [QUOTE, COMMA, BACKSLASH] = [0x22, 0x2c, 0x5c];
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

export interface JsonListOptions<Item> {
  /** Name of the top-level array field with the items. */
  readonly field: string;
  /** Maximum items that are parsed. */
  readonly maxItems: number;
  /** Converts a parsed item to the result item. Items that are not objects are skipped. */
  readonly pick: (item: Record<string, unknown>) => Item;
  /** Charged with the length of each item's text, plus `valueBytes` for each of its values. */
  readonly memory?: MemoryHold | undefined;
  readonly valueBytes?: number;
}

export interface JsonList<Item> {
  /** The top-level object, with its items replaced by an empty array. */
  readonly head: Record<string, unknown>;
  readonly items: Item[];
  /** The number of items beyond `maxItems`, which are dropped: some servers ignore `limit`. */
  readonly dropped: number;
}

/**
 * Parses a JSON object with a long array item by item, yielding to the event loop between slices. The values of an
 * item are counted before it is parsed. Throws RESPONSE_TOO_LARGE or NOT_KUBERNETES with the limit that the text
 * exceeds.
 */
export async function readJsonList<Item>(bytes: Buffer, options: JsonListOptions<Item>): Promise<JsonList<Item>> {
  const { field, maxItems, pick, memory, valueBytes = VALUE_BYTES } = options;
  const items: Item[] = [];
  const list = { begin: -1, end: -1 };
  let [depth, key, start, string, seen, values, itemValues, work] = [0, '', -1, -1, 0, 0, 0, 0];

  const finishItem = (end: number, isLast: boolean) => {
    if (end - start > MAX_ITEM_BYTES) throw tooLarge(field);
    const valueCount = itemValues;
    itemValues = 0;
    if (seen >= maxItems) {
      seen++;
      return;
    }
    const text = bytes.toString('utf8', start, end);
    if (isLast && seen === 0 && text.trim() === '') return;
    seen++;
    memory?.take(end - start + valueCount * valueBytes);
    const item = parse(text);
    if (isRecord(item)) items.push(pick(item));
    work += end - start;
  };
  const count = () => {
    values += 1;
    if (values > MAX_VALUES) throw tooMany(MAX_VALUES, `its ${field}`);
    if (start >= 0 && ++itemValues > MAX_ITEM_VALUES) throw tooMany(MAX_ITEM_VALUES, `one of its ${field}`);
  };

  for (let at = 0; at < bytes.length; at++) {
    if (++work > SLICE_BYTES) {
      work = 0;
      await yieldNow();
    }
    if (string >= 0) {
      if (bytes[at] === BACKSLASH) at += 1;
      else if (bytes[at] === QUOTE) {
        if (depth === 1) key = at - string === field.length ? bytes.toString('latin1', string, at) : '';
        string = -1;
      }
      continue;
    }
    const isBetween = depth === 2 && start >= 0;
    switch (bytes[at]) {
      case QUOTE:
        string = at + 1;
        break;
      case COMMA:
        count();
        if (depth === 1) key = '';
        if (isBetween) {
          finishItem(at, false);
          start = at + 1;
        }
        break;
      case OPEN_ARRAY:
      case OPEN_OBJECT:
        count();
        if (++depth > MAX_DEPTH) throw notKubernetes(`its response has more than ${MAX_DEPTH} levels`);
        if (depth === 2 && key === field && list.begin < 0 && bytes[at] === OPEN_ARRAY) {
          list.begin = at;
          start = at + 1;
        }
        break;
      case CLOSE_ARRAY:
      case CLOSE_OBJECT:
        if (isBetween) {
          finishItem(at, true);
          list.end = at + 1;
          start = -1;
        }
        depth -= 1;
        break;
    }
  }
  return { head: readHead(bytes, list, field), items, dropped: Math.max(0, seen - maxItems) };
}

function readHead(bytes: Buffer, list: { begin: number; end: number }, field: string): Record<string, unknown> {
  const isFound = list.begin >= 0;
  if (isFound && list.end < 0) throw notJson();
  const before = isFound ? bytes.subarray(0, list.begin) : bytes;
  const after = isFound ? bytes.subarray(list.end) : Buffer.alloc(0);
  if (before.length + after.length > MAX_HEAD_BYTES) {
    const why = `the response of the cluster has more than ${MAX_HEAD_BYTES} bytes besides its ${field}`;
    throw new ClusterError('RESPONSE_TOO_LARGE', why);
  }
  const head = parse(`${before}${isFound ? '[]' : ''}${after}`);
  if (!isRecord(head)) throw notJson();
  // Go writes an empty list as null.
  if (!isFound && head[field] !== null) throw notKubernetes(`its response has no ${field}`);
  return head;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw notJson();
  }
}

function notJson(): ClusterError {
  return notKubernetes('the response is not a JSON object');
}

function tooMany(limit: number, what: string): ClusterError {
  const values = limit.toLocaleString('en');
  return new ClusterError(
    'RESPONSE_TOO_LARGE',
    `the response of the cluster has more than ${values} values in ${what}: request fewer`,
  );
}

function tooLarge(field: string): ClusterError {
  const why = `the response of the cluster has more than ${MAX_ITEM_BYTES / 1024 / 1024} MiB in one of its ${field}`;
  return new ClusterError('RESPONSE_TOO_LARGE', why);
}
