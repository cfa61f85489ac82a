import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';

const FOLDERS = ['internals', 'graphql', 'rest', 'server', 'domain', 'kubernetes'].map((name) => join('src', name));
/** Length in characters of the text that a regular expression is tested with: the largest body. */
const LENGTH = 4 * 1024 * 1024;
/** Generous for a linear regular expression, which takes some 20 ms for each text; a quadratic one takes minutes. */
const DEADLINE_MS = 20_000;

interface Pattern {
  readonly place: string;
  readonly source: string;
  readonly flags: string;
}

/** Regular expressions that are slower than linear, and the code that bounds the length of their input. */
const BOUNDED: readonly (readonly [start: string, bound: string])[] = [
  ['( cannot represent [^:]*): |', 'sentenceWithoutValue reads 1,000 characters of a message'],
  ['=+$', 'a hash of a password, 44 characters that we write'],
  ['<script(?![^>]*', 'a file of KITE_UI_DIR, which the operator chooses'],
];

// Matches a regular expression literal where an expression can start; a character class may contain a slash.
const LITERAL =
  /(?<=[=(,:?[{|&!>]\s*|^\s*|return )\/(?![*/])((?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+)\/([dgimsuvy]*)(?=[\s).,;\]}]|$)/gm;

function patternsIn(path: string): Pattern[] {
  const text = readFileSync(path, 'utf8').replaceAll(/^\s*(?:\/\/|\*|\/\*).*$/gm, '');
  return Array.from(text.matchAll(LITERAL), ([, source = '', flags = '']) => ({ place: path, source, flags }));
}

const patterns = FOLDERS.flatMap((folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.includes('generated'))
    .flatMap((name) => patternsIn(join(folder, name))),
);

/**
 * Builds a text that the regular expression may start to match: the first member of each class, group and alternative.
 */
function sampleOf(source: string): string {
  return source
    .replaceAll(/\(\?<?[=!](?:[^()]|\([^()]*\))*\)/g, '')
    .replaceAll(/\(\?:|\(\?<\w+>/g, '(')
    .replaceAll(/\[\^[^\]]*\]/g, 'a')
    .replaceAll(/\[\\?(.)(?:\\.|[^\]\\])*\]/g, (_, first: string) => ({ w: 'a', d: '1', s: ' ' })[first] ?? first)
    .replaceAll(/\\w/g, 'a')
    .replaceAll(/\\d/g, '1')
    .replaceAll(/\\s/g, ' ')
    .replaceAll(/\\[bB]/g, '')
    .replaceAll(/\\(.)/g, '$1')
    .replaceAll(/\{[\d,]+\}|[*+?^$]/g, '')
    .replaceAll(/\|[^()|]*/g, '')
    .replaceAll(/[()]/g, '');
}

/** Texts of 4 MiB that repeat a part of the beginning of a match and end in a character that does not match. */
function attacksOn({ source }: Pattern): string[] {
  const sample = sampleOf(source);
  const alternatives = source.split('|').map(sampleOf);
  const parts = [
    sample,
    sample.slice(0, -1),
    sample.slice(0, 1),
    sample.slice(-1),
    ...alternatives,
    ' ',
    'a',
    '"',
    '1',
  ];
  return [...new Set(parts)].filter((part) => part !== '').slice(0, 12);
}

const RUN = `
const { parentPort, workerData: { source, flags, parts, length } } = require('node:worker_threads');
const pattern = new RegExp(source, flags);
for (const part of parts) {
  const text = part.repeat(Math.ceil(length / part.length)) + '\\0';
  parentPort.postMessage(part);
  if (pattern.global) text.replaceAll(pattern, ''); else { pattern.test(text); pattern.lastIndex = 0; }
}
parentPort.postMessage(null);
`;

/** Returns the text that the regular expression does not finish within the deadline; undefined if it finishes all. */
function findSlowText({ source, flags }: Pattern, parts: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(RUN, { eval: true, workerData: { source, flags, parts, length: LENGTH } });
    let [current, timer]: [string, NodeJS.Timeout | undefined] = ['', undefined];
    const end = (stuck: string | undefined) => {
      clearTimeout(timer);
      worker.terminate().then(() => resolve(stuck), reject);
    };
    worker.on('error', reject);
    worker.on('message', (part: string | null) => {
      if (part === null) return end(undefined);
      current = part;
      clearTimeout(timer);
      timer = setTimeout(() => end(current), DEADLINE_MS);
    });
  });
}

const isBounded = ({ source }: Pattern) => BOUNDED.some(([start]) => source.startsWith(start));

it('finds the regular expressions in the source', () => {
  expect(patterns.length).toBeGreaterThan(50);
  for (const [start] of BOUNDED) expect(patterns.filter(({ source }) => source.startsWith(start))).toHaveLength(1);
});

it.each(patterns.filter((pattern) => !isBounded(pattern)))(
  'matches 4 MiB of its own beginning in linear time: $place /$source/',
  async (pattern) => {
    expect(await findSlowText(pattern, attacksOn(pattern))).toBeUndefined();
  },
  12 * DEADLINE_MS,
);
