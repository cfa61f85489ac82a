import { Composer, isMap, isScalar, isSeq, Lexer, type Node, Parser } from 'yaml';

/** What a kubeconfig is made of: every scalar is the text it was written as, so that a token of digits stays a token. */
export type Data = string | null | Data[] | Mapping;

/** A mapping of a kubeconfig; it has no prototype. */
export interface Mapping {
  [key: string]: Data;
}

/** Tells a mapping from the other data. */
export function isMapping(data: Data | undefined): data is Mapping {
  return typeof data === 'object' && data !== null && !Array.isArray(data);
}

/** Why a kubeconfig, or a context of it, cannot be used, as a sentence that never quotes a value. */
export class UnusableKubeconfig extends Error {}

const maxBytes = 4 * 1024 * 1024;
// 5,000 contexts take 410,000 in YAML and 510,000 in indented JSON; a million takes seconds to read.
const maxLexemes = 600_000;
// 5,000 contexts take 100,000 in indented JSON.
const maxLines = 200_000;
/** Contexts of one kubeconfig. */
export const maxContexts = 5_000;
// What a Secret of Kubernetes can hold.
const maxScalar = 1024 * 1024;
const maxDepth = 50;

const scalarFollows = '\x1f';
const documentFollows = '\x02';
const refusedLexemes: Record<string, string> = {
  '&': 'anchors are not read: write the value out',
  '*': 'aliases are not read: write the value out',
  '!': 'tags are not read: leave them out',
  '%': 'directives are not read: leave them out',
};
const depthOf: Record<string, number> = { '[': 1, '{': 1, ']': -1, '}': -1 };
const nulls = new Set(['', '~', 'null', 'Null', 'NULL']);

/** Reads one YAML or JSON document of text, lists and mappings; throws UnusableKubeconfig for whatever a kubeconfig needs not. */
export function readYaml(text: string): Data {
  if (Buffer.byteLength(text) > maxBytes) throw new UnusableKubeconfig('the kubeconfig is larger than 4 MiB');
  if (text.includes('\0')) throw new UnusableKubeconfig('the kubeconfig has a NUL character in it');
  refuseExcess(text);
  const plain = readPlain(text);
  if (plain !== undefined) return plain;
  const limit = Error.stackTraceLimit;
  try {
    // The parser makes an error object for every fault; a stack for each would turn a second into five.
    Error.stackTraceLimit = 0;
    return toData(compose(text), text, 0);
  } catch (error) {
    if (error instanceof UnusableKubeconfig) throw error;
    if (error instanceof RangeError) throw new UnusableKubeconfig('the kubeconfig is nested too deeply');
    throw new UnusableKubeconfig('the kubeconfig is not valid YAML');
  } finally {
    Error.stackTraceLimit = limit;
  }
}

const [newline, space, ascii] = [0x0a, 0x20, 0x80];
// Of ASCII, in halves of a lexeme: two quotes make one.
const marks = new Uint8Array(ascii);
for (const mark of ',[]{}') marks[mark.charCodeAt(0)] = 2;
for (const mark of '"\'') marks[mark.charCodeAt(0)] = 1;
const spacedMarks = new Uint8Array(ascii);
for (const mark of ':-?') spacedMarks[mark.charCodeAt(0)] = 2;

/** Counts the lines of a text and, at a glance, the lexemes that the lexer would find in it. */
export function measureYaml(text: string): { lines: number; parts: number } {
  let [lines, halves, before] = [0, 0, 0];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === newline) lines += 1;
    if (code <= space) halves += spacedMarks[before] ?? 0;
    else halves += marks[code] ?? 0;
    before = code;
  }
  return { lines, parts: lines + halves / 2 };
}

/** Refuses at a glance what the lexer would come to the limit of in a quarter of a second. */
function refuseExcess(text: string): void {
  const { lines, parts } = measureYaml(text);
  if (lines > maxLines)
    throw new UnusableKubeconfig(`the kubeconfig has more than ${maxLines.toLocaleString('en')} lines`);
  if (parts > maxLexemes) throw new UnusableKubeconfig('the kubeconfig has too many parts');
  let contexts = 0;
  // One more, since `current-context` ends alike.
  for (const _ of text.matchAll(/context["']?\s*:/g)) if (++contexts > maxContexts + 1) throw tooManyContexts();
}

/** What is said of more contexts than one kubeconfig may have. */
export function tooManyContexts(): UnusableKubeconfig {
  return new UnusableKubeconfig(`the kubeconfig has more than ${maxContexts.toLocaleString('en')} contexts`);
}

/**
 * Reads what JSON.stringify has written, as everything that is stored was: twenty times as fast. It holds no key twice
 * and no number in another spelling, or it would not be the same again; whatever else is odd, YAML's way has words for.
 */
function readPlain(text: string): Data | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return JSON.stringify(value) === text ? plainData(value, 0) : undefined;
  } catch {
    return undefined;
  }
}

function plainData(value: unknown, depth: number): Data {
  if (value === null) return null;
  if (typeof value !== 'object') {
    const text = String(value);
    if (text.length > maxScalar) throw new UnusableKubeconfig('it is not plain');
    return text;
  }
  if (depth > maxDepth) throw new UnusableKubeconfig('it is not plain');
  if (Array.isArray(value)) return value.map((item) => plainData(item, depth + 1));
  const mapping: Mapping = Object.create(null);
  for (const [key, item] of Object.entries(value)) {
    if (key.length > maxScalar || refuseKey(key, mapping)) throw new UnusableKubeconfig('it is not plain');
    mapping[key] = plainData(item, depth + 1);
  }
  return mapping;
}

function compose(text: string): Node | null {
  const parser = new Parser();
  const composer = new Composer({ schema: 'failsafe', uniqueKeys: false, prettyErrors: false });
  const documents = [];
  for (const lexeme of lex(text)) {
    for (const token of parser.next(lexeme)) {
      if (token.type === 'error') throw invalid(text, token.offset);
      documents.push(...composer.next(token));
    }
  }
  for (const token of parser.end()) documents.push(...composer.next(token));
  documents.push(...composer.end());
  const [document] = documents;
  const fault = document?.errors[0] ?? composer.streamInfo().errors[0];
  if (fault?.code === 'RESOURCE_EXHAUSTION') throw new UnusableKubeconfig('the kubeconfig is nested too deeply');
  if (fault) throw invalid(text, fault.pos[0]);
  return document?.contents ?? null;
}

// The parser's own words quote the text, which holds secrets.
function invalid(text: string, offset: number): UnusableKubeconfig {
  return new UnusableKubeconfig(`the kubeconfig is not valid YAML (${place(text, offset)})`);
}

/** Lexes all of it before the costlier steps, refusing what no kubeconfig needs and attacks are made of. */
function lex(text: string): string[] {
  const lexemes: string[] = [];
  let offset = 0;
  let documents = 0;
  let depth = 0;
  let before = '';
  const refuse = (reason: string) => new UnusableKubeconfig(`${reason} (${place(text, offset)})`);
  for (const lexeme of new Lexer().lex(text)) {
    if (lexemes.length === maxLexemes) throw new UnusableKubeconfig('the kubeconfig has too many parts');
    if (lexeme.length > maxScalar) throw refuse('a value is larger than 1 MiB');
    if (before !== scalarFollows) {
      const reason = refusedLexemes[lexeme.charAt(0)];
      if (reason) throw refuse(reason);
      if (lexeme === documentFollows || (lexeme === '---' && before !== documentFollows)) documents += 1;
      if (documents > 1) throw refuse('the kubeconfig has more than one document');
      depth += depthOf[lexeme] ?? 0;
      if (depth > maxDepth) throw refuse('the kubeconfig is nested too deeply');
    }
    if (lexeme !== scalarFollows && lexeme !== documentFollows) offset += lexeme.length;
    before = before === scalarFollows ? '' : lexeme;
    lexemes.push(lexeme);
  }
  return lexemes;
}

function toData(node: Node | null, text: string, depth: number): Data {
  if (depth > maxDepth) throw new UnusableKubeconfig('the kubeconfig is nested too deeply');
  if (isScalar(node)) {
    const value = String(node.value ?? '');
    return node.type === 'PLAIN' && nulls.has(value) ? null : value;
  }
  if (isSeq<Node | null>(node)) return node.items.map((item) => toData(item, text, depth + 1));
  if (!isMap<Node, Node | null>(node)) return null;
  const mapping: Mapping = Object.create(null);
  for (const { key, value } of node.items) {
    const name = isScalar(key) ? String(key.value ?? '') : '';
    const refusal = refuseKey(name, mapping);
    if (refusal) throw new UnusableKubeconfig(`${refusal} (${place(text, key?.range?.[0] ?? 0)})`);
    mapping[name] = toData(value, text, depth + 1);
  }
  return mapping;
}

function refuseKey(name: string, mapping: Mapping): string | undefined {
  if (name === '') return 'a key is not text';
  if (name === '<<') return 'merges are not read: write the values out';
  if (name === '__proto__') return '__proto__ is not a key of a kubeconfig';
  if (name in mapping) return `the key ${quote(name, 40)} stands twice in one mapping`;
  return undefined;
}

function place(text: string, offset: number): string {
  const before = text.slice(0, offset);
  const line = before.split('\n').length;
  return `line ${line}, column ${offset - before.lastIndexOf('\n')}`;
}

/** Quotes a name out of a kubeconfig for a sentence; a longer one than is usual may be anything and is not shown. */
export function quote(name: string, limit = 253): string {
  if (name.length > limit) return `(${name.length} characters)`;
  return `"${name.replace(/[\p{C}\p{Zl}\p{Zp}"\\]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)}"`;
}
