import { ClusterError, notKubernetes } from './cluster-error.ts';
import type { MemoryHold } from './live-memory.ts';
import { isRecord } from './redact.ts';
import { nextSlice } from './slices.ts';

/** Levels of an answer: redaction allows an object 200. */
const MAX_DEPTH = 210;
/** Values of one item: the 1.5 MiB that etcd stores hold about 75,000. It is parsed in one piece, in some 30 ms. */
const MAX_ITEM_VALUES = 150_000;
/** Values of all items: as many as 16 MiB of Pods hold. */
const MAX_VALUES = 1_500_000;
/** Bytes of one item: etcd stores objects of at most 1.5 MiB. The largest is parsed and redacted in one piece. */
export const MAX_ITEM_BYTES = 2 * 1024 * 1024;
/** Bytes beside the items: the head of a list has a version and a continue token. */
const MAX_HEAD_BYTES = 256 * 1024;
/** Bytes that are scanned and bytes that are parsed between two turns of the event loop: some 5 ms. */
const SLICE_BYTES = 256 * 1024;
/** Bytes of heap that a value takes beside its text, by V8's heap: 51 of an empty array to 87 of a property. */
export const VALUE_BYTES = 80;

const [QUOTE, COMMA, BACKSLASH] = [0x22, 0x2c, 0x5c];
const [OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

export interface JsonListOptions<Item> {
  /** The field that holds the items. */
  readonly field: string;
  readonly maxItems: number;
  /** Makes of a parsed item what is kept; items that are no objects are omitted. */
  readonly pick: (item: Record<string, unknown>) => Item;
  /** Takes the text of each item and `valueBytes` for each of its values. */
  readonly memory?: MemoryHold | undefined;
  readonly valueBytes?: number;
}

export interface JsonList<Item> {
  /** The object, its items replaced by an empty array. */
  readonly head: Record<string, unknown>;
  readonly items: Item[];
}

/**
 * Reads the JSON text of an object with a long array item by item, in slices between which others run: no item is parsed
 * before its values are counted. RESPONSE_TOO_LARGE and NOT_KUBERNETES name the limit that the text exceeds.
 */
export async function readJsonList<Item>(bytes: Buffer, options: JsonListOptions<Item>): Promise<JsonList<Item>> {
  const { field, maxItems, pick, memory, valueBytes = VALUE_BYTES } = options;
  const items: Item[] = [];
  const list = { begin: -1, end: -1 };
  let [depth, key, start, string, seen, values, itemValues, work] = [0, '', -1, -1, 0, 0, 0, 0];

  const finishItem = (end: number, isLast: boolean) => {
    if (end - start > MAX_ITEM_BYTES) throw tooLarge(field);
    const text = bytes.toString('utf8', start, end);
    if (isLast && seen === 0 && text.trim() === '') return;
    if (seen++ === maxItems) throw notKubernetes(`it was asked for ${maxItems} ${field} and sends more`);
    memory?.take(end - start + itemValues * valueBytes);
    const item = parse(text);
    if (isRecord(item)) items.push(pick(item));
    work += end - start;
    itemValues = 0;
  };
  const count = () => {
    values += 1;
    if (values > MAX_VALUES) throw tooMany(MAX_VALUES, `its ${field}`);
    if (start >= 0 && ++itemValues > MAX_ITEM_VALUES) throw tooMany(MAX_ITEM_VALUES, `one of its ${field}`);
  };

  for (let at = 0; at < bytes.length; at++) {
    if (++work > SLICE_BYTES) {
      work = 0;
      await nextSlice();
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
        if (++depth > MAX_DEPTH) throw notKubernetes(`its answer has more than ${MAX_DEPTH} levels`);
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
  return { head: readHead(bytes, list, field), items };
}

function readHead(bytes: Buffer, list: { begin: number; end: number }, field: string): Record<string, unknown> {
  const isFound = list.begin >= 0;
  if (isFound && list.end < 0) throw notJson();
  const before = isFound ? bytes.subarray(0, list.begin) : bytes;
  const after = isFound ? bytes.subarray(list.end) : Buffer.alloc(0);
  if (before.length + after.length > MAX_HEAD_BYTES) {
    const why = `the cluster answers with more than ${MAX_HEAD_BYTES} bytes beside its ${field}`;
    throw new ClusterError('RESPONSE_TOO_LARGE', why);
  }
  const head = parse(`${before}${isFound ? '[]' : ''}${after}`);
  if (!isRecord(head)) throw notJson();
  if (!isFound) throw notKubernetes(`its answer has no ${field}`);
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
  return notKubernetes('it is no JSON object');
}

function tooMany(limit: number, what: string): ClusterError {
  const values = limit.toLocaleString('en');
  return new ClusterError(
    'RESPONSE_TOO_LARGE',
    `the cluster answers with more than ${values} values in ${what}: ask for fewer`,
  );
}

function tooLarge(field: string): ClusterError {
  const why = `the cluster answers with more than ${MAX_ITEM_BYTES / 1024 / 1024} MiB in one of its ${field}`;
  return new ClusterError('RESPONSE_TOO_LARGE', why);
}
