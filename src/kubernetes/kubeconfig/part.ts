import { type Data, isMapping, type Mapping, quote, UnusableKubeconfig } from './yaml.ts';

/** A mapping of a kubeconfig, and its path for messages. */
export interface Part {
  readonly path: string;
  readonly fields: Mapping;
  /** Receives a sentence about each field that is ignored or changed. All parts of a context share one list. */
  readonly warnings: string[];
}

/** The advice for a value that another command can put into the kubeconfig. */
export const FLATTEN = 'create a kubeconfig that contains it with `kubectl config view --raw --flatten`';

/**
 * The string under a key; undefined if absent or empty. Throws if it is one
 * of kubectl's placeholders for a redacted secret.
 */
export function textOf({ path, fields }: Part, key: string): string | undefined {
  const value = fields[key];
  if (isAbsent(value)) return undefined;
  if (typeof value !== 'string') throw new UnusableKubeconfig(`${path}.${key} is not text`);
  if (value === 'DATA+OMITTED' || value === 'REDACTED') {
    throw new UnusableKubeconfig(`${path}.${key} was omitted when this kubeconfig was printed: ${FLATTEN}`);
  }
  return value;
}

// The words that go-yaml reads as booleans, with which kubectl reads a kubeconfig
// (https://github.com/go-yaml/yaml/blob/v2.4.0/resolve.go).
const TRUE = new Set(['y', 'Y', 'yes', 'Yes', 'YES', 'true', 'True', 'TRUE', 'on', 'On', 'ON']);
const FALSE = new Set(['n', 'N', 'no', 'No', 'NO', 'false', 'False', 'FALSE', 'off', 'Off', 'OFF']);

/** The boolean under a key; false if absent. */
export function booleanOf(part: Part, key: string): boolean {
  const word = textOf(part, key);
  if (word === undefined || FALSE.has(word)) return false;
  if (TRUE.has(word)) return true;
  throw new UnusableKubeconfig(`${part.path}.${key} must be true or false`);
}

/** Whether kubectl reads a value as absent: Go's `omitempty` drops empty text, lists and mappings. */
export function isAbsent(value: Data | undefined): boolean {
  if (value === undefined || value === null || value === '') return true;
  return Array.isArray(value) ? value.length === 0 : isMapping(value) && Object.keys(value).length === 0;
}

/**
 * Parts of the names of keys that run a command, name a file or say who the user is. An unknown key with such a name is
 * refused, because the kubeconfig expects something else to happen than what Kitestring does.
 */
const MEANINGFUL =
  /exec|cmd|command|^args$|^env$|plugin|provider|script|file|path|^dir|certificate|cert|key|token|bearer|secret|pass|user|login|account|identity|impersonat|^as$|^as[-_]|auth|credential|cookie|header/i;

/**
 * Checks the keys of a part that have a value. Throws UnusableKubeconfig for a key in `refused`, with its message, and
 * for an unknown key that may stand for a command, a file or an identity. Warns about every other unknown key, which
 * kubectl ignores too.
 */
export function checkKeys(part: Part, known: readonly string[], refused: Readonly<Record<string, string>> = {}): void {
  const { path, fields, warnings } = part;
  for (const [key, value] of Object.entries(fields)) {
    // kubectl reads these two with an empty mapping as a command without a name.
    if (known.includes(key) || (isAbsent(value) && !(isMapping(value) && Object.hasOwn(COMMANDS, key)))) continue;
    const reason = Object.hasOwn(refused, key) ? refused[key] : undefined;
    if (reason) throw new UnusableKubeconfig(`${path}.${key} ${reason}`);
    const place = `${path}.${/^[\w-]{1,40}$/.test(key) ? key : quote(key, 40)}`;
    if (isMeaningful(key, value)) throw new UnusableKubeconfig(`${place} is not known`);
    warnings.push(`${place} is not known and was ignored`);
  }
}

const COMMANDS = { exec: true, 'auth-provider': true };

function isMeaningful(key: string, value: Data | undefined): boolean {
  if (MEANINGFUL.test(key)) return true;
  if (Array.isArray(value)) return value.some((item) => isMeaningful('', item));
  return isMapping(value) && Object.entries(value).some(([inner, item]) => isMeaningful(inner, item));
}
