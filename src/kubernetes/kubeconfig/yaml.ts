import { Composer, isMap, isScalar, isSeq, Lexer, type Node, Parser } from 'yaml';

/** Parsed YAML. Scalars stay strings exactly as written, so that a token that consists of digits is not changed. */
export type Data = string | null | Data[] | Mapping;

/** A YAML mapping, as an object without a prototype. */
export interface Mapping {
  [key: string]: Data;
}

export function isMapping(data: Data | undefined): data is Mapping {
  return typeof data === 'object' && data !== null && !Array.isArray(data);
}

/**
 * The reason why a kubeconfig or one of its contexts is unusable. The
 * message is written for users and never quotes a value.
 */
export class UnusableKubeconfig extends Error {}

const maxBytes = 4 * 1024 * 1024;
// 5,000 contexts have 410,000 lexemes in YAML and 510,000 in indented JSON; parsing a million takes seconds.
const maxLexemes = 600_000;
// 5,000 contexts have 100,000 lines in indented JSON.
const maxLines = 200_000;
/** Maximum contexts of one kubeconfig. */
export const maxContexts = 5_000;
// Same as the size limit of a Kubernetes Secret.
const maxScalar = 1024 * 1024;
const maxDepth = 50;
// A stream of empty documents is harmless, but each one is an object of several kilobytes.
const maxDocuments = 16;

// Control lexemes of the `yaml` package's lexer.
const scalarFollows = '\x1f';
const documentFollows = '\x02';
const refusedLexemes: Record<string, string> = {
  '&': 'anchors are not read: write the value out',
  '*': 'aliases are not read: write the value out',
  '!': 'tags are not read: omit them',
  '%': 'directives are not read: omit them',
};
const depthOf: Record<string, number> = { '[': 1, '{': 1, ']': -1, '}': -1 };
const nulls = new Set(['', '~', 'null', 'Null', 'NULL']);

/**
 * Parses one YAML or JSON document. Throws UnusableKubeconfig if it exceeds a
 * limit or uses YAML features that no kubeconfig needs.
 */
export function readYaml(text: string): Data {
  if (Buffer.byteLength(text) > maxBytes) throw new UnusableKubeconfig('the kubeconfig is larger than 4 MiB');
  if (text.includes('\0')) throw new UnusableKubeconfig('the kubeconfig has a NUL character in it');
  throwIfTooLarge(text);
  const parsed = parseCompactJson(text);
  if (parsed !== undefined) return parsed;
  const limit = Error.stackTraceLimit;
  try {
    // The parser creates an error object for every syntax error; capturing their stacks would take 5 s instead of 1 s.
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
// Half lexemes per ASCII character: a quote counts as half, because a quoted scalar has two.
const halfLexemes = new Uint8Array(ascii);
for (const mark of ',[]{}') halfLexemes[mark.charCodeAt(0)] = 2;
for (const mark of '"\'') halfLexemes[mark.charCodeAt(0)] = 1;
const halfLexemesBeforeSpace = new Uint8Array(ascii);
for (const mark of ':-?') halfLexemesBeforeSpace[mark.charCodeAt(0)] = 2;

/** Counts the lines of a text and estimates the number of its lexemes, without running the lexer. */
export function measureYaml(text: string): { lines: number; parts: number } {
  let [lines, halves, previous] = [0, 0, 0];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === newline) lines += 1;
    if (code <= space) halves += halfLexemesBeforeSpace[previous] ?? 0;
    else halves += halfLexemes[code] ?? 0;
    previous = code;
  }
  return { lines, parts: lines + halves / 2 };
}

/** Rejects oversized input based on the estimate, because the lexer takes a quarter of a second to reach its limit. */
function throwIfTooLarge(text: string): void {
  const { lines, parts } = measureYaml(text);
  if (lines > maxLines)
    throw new UnusableKubeconfig(`the kubeconfig has more than ${maxLines.toLocaleString('en')} lines`);
  if (parts > maxLexemes) throw new UnusableKubeconfig('the kubeconfig has too many parts');
  let contexts = 0;
  // Allow one more, because `current-context` matches too.
  for (const _ of text.matchAll(/context["']?\s*:/g)) if (++contexts > maxContexts + 1) throw tooManyContexts();
}

export function tooManyContexts(): UnusableKubeconfig {
  return new UnusableKubeconfig(`the kubeconfig has more than ${maxContexts.toLocaleString('en')} contexts`);
}

/**
 * Fast path, twenty times as fast: parses text that JSON.stringify has written, as all stored kubeconfigs are. The
 * round-trip comparison rules out duplicate keys and reformatted numbers. Returns undefined for any other text; the
 * YAML path then parses it or reports the error.
 */
function parseCompactJson(text: string): Data | undefined {
  if (!text.startsWith('{')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return JSON.stringify(value) === text ? jsonToData(value, 0) : undefined;
  } catch {
    return undefined;
  }
}

function jsonToData(value: unknown, depth: number): Data {
  if (value === null) return null;
  if (typeof value !== 'object') {
    const text = String(value);
    if (text.length > maxScalar) throw new UnusableKubeconfig('a value is larger than 1 MiB');
    return text;
  }
  if (depth > maxDepth) throw new UnusableKubeconfig('the kubeconfig is nested too deeply');
  if (Array.isArray(value)) return value.map((item) => jsonToData(item, depth + 1));
  const mapping: Mapping = Object.create(null);
  for (const [key, item] of Object.entries(value)) {
    if (key.length > maxScalar || keyProblem(key, mapping)) throw new UnusableKubeconfig('a key is invalid');
    mapping[key] = jsonToData(item, depth + 1);
  }
  return mapping;
}

function compose(text: string): Node | null {
  const parser = new Parser();
  const composer = new Composer({ schema: 'failsafe', uniqueKeys: false, prettyErrors: false });
  const documents = [];
  for (const lexeme of lex(text)) {
    for (const token of parser.next(lexeme)) {
      if (token.type === 'error') throw invalidYaml(text, token.offset);
      documents.push(...composer.next(token));
    }
  }
  for (const token of parser.end()) documents.push(...composer.next(token));
  documents.push(...composer.end());
  const error = documents.find(({ errors }) => errors.length > 0)?.errors[0] ?? composer.streamInfo().errors[0];
  if (error?.code === 'RESOURCE_EXHAUSTION') throw new UnusableKubeconfig('the kubeconfig is nested too deeply');
  if (error) throw invalidYaml(text, error.pos[0]);
  // Tools write a separator after the last document too.
  const [document, second] = documents.filter(({ contents }) => !isEmpty(contents));
  if (second)
    throw new UnusableKubeconfig(
      `the kubeconfig has more than one document (${positionOf(text, second.contents?.range?.[0] ?? 0)})`,
    );
  return document?.contents ?? null;
}

function isEmpty(contents: Node | null): boolean {
  return contents === null || (isScalar(contents) && contents.type === 'PLAIN' && contents.value === '');
}

// The parser's own message quotes the text, which contains secrets.
function invalidYaml(text: string, offset: number): UnusableKubeconfig {
  return new UnusableKubeconfig(`the kubeconfig is not valid YAML (${positionOf(text, offset)})`);
}

/**
 * Lexes the whole text before the more expensive steps. Rejects anchors, aliases, tags, deep nesting and other input
 * that is used for attacks.
 */
function lex(text: string): string[] {
  const lexemes: string[] = [];
  let offset = 0;
  let documents = 0;
  let depth = 0;
  let previous = '';
  const problemHere = (reason: string) => new UnusableKubeconfig(`${reason} (${positionOf(text, offset)})`);
  for (const lexeme of new Lexer().lex(text)) {
    if (lexemes.length === maxLexemes) throw new UnusableKubeconfig('the kubeconfig has too many parts');
    if (lexeme.length > maxScalar) throw problemHere('a value is larger than 1 MiB');
    if (previous !== scalarFollows) {
      const reason = refusedLexemes[lexeme.charAt(0)];
      if (reason) throw problemHere(reason);
      if (lexeme === documentFollows || (lexeme === '---' && previous !== documentFollows)) documents += 1;
      if (documents > maxDocuments) throw problemHere(`the kubeconfig has more than ${maxDocuments} documents`);
      depth += depthOf[lexeme] ?? 0;
      if (depth > maxDepth) throw problemHere('the kubeconfig is nested too deeply');
    }
    if (lexeme !== scalarFollows && lexeme !== documentFollows) offset += lexeme.length;
    previous = previous === scalarFollows ? '' : lexeme;
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
    const problem = keyProblem(name, mapping);
    if (problem) throw new UnusableKubeconfig(`${problem} (${positionOf(text, key?.range?.[0] ?? 0)})`);
    mapping[name] = toData(value, text, depth + 1);
  }
  return mapping;
}

function keyProblem(name: string, mapping: Mapping): string | undefined {
  if (name === '') return 'a key is not text';
  if (name === '<<') return 'merges are not read: write the values out';
  if (name === '__proto__') return '__proto__ is not a key of a kubeconfig';
  if (name in mapping) return `the key ${quote(name, 40)} occurs twice in one mapping`;
  return undefined;
}

function positionOf(text: string, offset: number): string {
  const before = text.slice(0, offset);
  const line = before.split('\n').length;
  return `line ${line}, column ${offset - before.lastIndexOf('\n')}`;
}

/**
 * Quotes a name from a kubeconfig for an error message. A name longer than `limit`
 * is replaced by its length, since it may be anything.
 */
export function quote(name: string, limit = 253): string {
  if (name.length > limit) return `(${name.length} characters)`;
  return `"${name.replace(/[\p{C}\p{Zl}\p{Zp}"\\]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`)}"`;
}
