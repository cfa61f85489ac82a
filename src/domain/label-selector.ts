import type { Prisma } from '../storage/generated/sqlite/client.ts';

/** A requirement of Kubernetes' label selector grammar. For GREATER and LESS, `values` contains exactly one integer. */
export interface Requirement {
  readonly key: string;
  readonly operator: 'IN' | 'NOT_IN' | 'EXISTS' | 'NOT_EXISTS' | 'GREATER' | 'LESS';
  readonly values: readonly string[];
}

/** A selector, label key or label value is invalid; the message is one sentence with the reason. */
export class LabelSyntaxError extends Error {
  override readonly name = 'LabelSyntaxError';
}

const NAME = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const DNS_SUBDOMAIN = /^(?=.{1,253}$)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/;
/** Maximum length of a selector in characters. */
export const MAX_SELECTOR = 10_000;
const INTEGER = /^[+-]?[0-9]+$/;
const MAX_REQUIREMENTS = 100;

/** Returns why a text is not a valid Kubernetes label key (`[prefix/]name`); undefined if it is valid. */
export function labelKeyProblem(key: string): string | undefined {
  const slash = key.indexOf('/');
  const prefix = slash < 0 ? undefined : key.slice(0, slash);
  if (prefix !== undefined && !DNS_SUBDOMAIN.test(prefix)) return 'the prefix of a label key must be a DNS subdomain';
  if (!NAME.test(key.slice(slash + 1)))
    return 'a label key is 1 to 63 letters, digits, "-", "_" or ".", with a letter or digit at both ends';
  return undefined;
}

/** Returns why a text is not a valid label value; undefined if it is valid. */
export function labelValueProblem(value: string): string | undefined {
  if (value === '' || NAME.test(value)) return undefined;
  return 'a label value is empty or 1 to 63 letters, digits, "-", "_" or ".", with a letter or digit at both ends';
}

/** Parses a label value as the 64-bit integer that `>` and `<` compare; null if it is not one. */
export function labelNumber(value: string): bigint | null {
  if (!INTEGER.test(value)) return null;
  const number = BigInt(value.replace(/^\+/, ''));
  return BigInt.asIntN(64, number) === number ? number : null;
}

/** Returns the number of requirements in a selector; 0 for an invalid one, which is rejected elsewhere. */
export function countRequirements(text: string): number {
  try {
    return text.length > MAX_SELECTOR ? 0 : parseLabelSelector(text).length;
  } catch {
    return 0;
  }
}

/**
 * Parses a selector such as `env in (staging, prod), !legacy, tier != db, cpus > 4`; an empty one selects everything.
 */
export function parseLabelSelector(text: string): Requirement[] {
  const tokens = tokenize(text);
  const requirements: Requirement[] = [];
  let next = 0;
  const peek = () => tokens[next];
  const take = () => tokens[next++];
  if (tokens.length === 0) return requirements;
  do {
    // Each requirement becomes a subquery, and databases limit how deeply subqueries nest.
    if (requirements.length === MAX_REQUIREMENTS)
      throw new LabelSyntaxError(`must have at most ${MAX_REQUIREMENTS} requirements`);
    requirements.push(parseRequirement(peek, take));
  } while (take() === ',');
  if (next <= tokens.length) throw new LabelSyntaxError(`expected "," but found ${quote(tokens[next - 1])}`);
  return requirements;
}

type TokenReader = () => string | undefined;

function tokenize(text: string): string[] {
  return text.match(/==|!=|[=!<>(),]|[^ \t\r\n=!<>(),]+/g) ?? [];
}

function parseRequirement(peek: TokenReader, take: TokenReader): Requirement {
  if (peek() === '!') {
    take();
    return { key: takeKey(take), operator: 'NOT_EXISTS', values: [] };
  }
  const key = takeKey(take);
  if (peek() === undefined || peek() === ',') return { key, operator: 'EXISTS', values: [] };
  const operator = take();
  switch (operator) {
    case '=':
    case '==':
      return { key, operator: 'IN', values: [takeValue(peek, take)] };
    case '!=':
      return { key, operator: 'NOT_IN', values: [takeValue(peek, take)] };
    case 'in':
      return { key, operator: 'IN', values: takeValues(peek, take) };
    case 'notin':
      return { key, operator: 'NOT_IN', values: takeValues(peek, take) };
    case '>':
    case '<':
      return { key, operator: operator === '>' ? 'GREATER' : 'LESS', values: [takeNumber(peek, take)] };
    default:
      throw new LabelSyntaxError(`expected an operator after ${quote(key)} but found ${quote(operator)}`);
  }
}

function takeKey(take: TokenReader): string {
  const key = take();
  if (key === undefined || isPunctuation(key))
    throw new LabelSyntaxError(`expected a label key but found ${quote(key)}`);
  const problem = labelKeyProblem(key);
  if (problem) throw new LabelSyntaxError(`${quote(key)}: ${problem}`);
  return key;
}

/** A missing value is the empty value, as in Kubernetes: `env=`, `env in (,a)`. */
function takeValue(peek: TokenReader, take: TokenReader): string {
  const value = peek();
  if (value === undefined || value === ',' || value === ')') return '';
  if (isPunctuation(value)) throw new LabelSyntaxError(`expected a label value but found ${quote(value)}`);
  const problem = labelValueProblem(value);
  if (problem) throw new LabelSyntaxError(`${quote(value)}: ${problem}`);
  take();
  return value;
}

function takeValues(peek: TokenReader, take: TokenReader): string[] {
  const open = take();
  if (open !== '(') throw new LabelSyntaxError(`expected "(" but found ${quote(open)}`);
  const values: string[] = [];
  let separator: string | undefined;
  do {
    values.push(takeValue(peek, take));
    separator = take();
  } while (separator === ',');
  if (separator !== ')') throw new LabelSyntaxError(`expected ")" but found ${quote(separator)}`);
  return values;
}

function takeNumber(peek: TokenReader, take: TokenReader): string {
  const value = takeValue(peek, take);
  if (labelNumber(value) === null) throw new LabelSyntaxError(`expected an integer but found ${quote(value)}`);
  return value;
}

function isPunctuation(token: string): boolean {
  return /^[=!<>(),]/.test(token);
}

function quote(token: string | undefined): string {
  return token === undefined ? 'the end' : JSON.stringify(token.slice(0, 80));
}

/** Translates requirements into a database filter. NOT_IN also matches clusters without the label, as in Kubernetes. */
export function whereLabels(requirements: readonly Requirement[]): Prisma.ClusterWhereInput {
  return { AND: requirements.map(whereLabel) };
}

function whereLabel({ key, operator, values }: Requirement): Prisma.ClusterWhereInput {
  switch (operator) {
    case 'IN':
      return { labels: { some: { key, value: { in: [...values] } } } };
    case 'NOT_IN':
      return { labels: { none: { key, value: { in: [...values] } } } };
    case 'EXISTS':
      return { labels: { some: { key } } };
    case 'NOT_EXISTS':
      return { labels: { none: { key } } };
    case 'GREATER':
      return { labels: { some: { key, number: { gt: labelNumber(values[0] ?? '') ?? 0n } } } };
    case 'LESS':
      return { labels: { some: { key, number: { lt: labelNumber(values[0] ?? '') ?? 0n } } } };
  }
}

/**
 * SQLite opens one cursor per requirement, and for each row it visits all open cursors. So the steps grow with the square
 * of the number of requirements, divided by this measured constant.
 */
const CURSORS = 12;

/** Returns the steps to match one cluster against this number of label requirements. */
export function stepsOfRequirements(requirements: number): number {
  return requirements + requirements ** 2 / CURSORS;
}
