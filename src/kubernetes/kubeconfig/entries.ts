import { checkKeys, type Part } from './part.ts';
import { type Data, isMapping, type Mapping, quote, UnusableKubeconfig } from './yaml.ts';

type Section = 'contexts' | 'clusters' | 'users';
const bodyKeys = { contexts: 'context', clusters: 'cluster', users: 'user' } as const;
const maxName = 253;

/** An item of a section. */
export type Entry = Mapping & { name: string };

/** The items of each section by name, in the order of the file. */
export type Sections = Readonly<Record<Section, ReadonlyMap<string, Entry>>>;

/** Why an item cannot be used, such as a name that is too long. */
const problems = new WeakMap<Entry, string>();
/** Items with a name that occurs more than once in their section. */
const repeated = new WeakSet<Entry>();

/** Returns an item once, or twice if its name was repeated: the stored copy then has the same problem when it is read again. */
export function listOf(entry: Entry | undefined): Entry[] {
  if (!entry) return [];
  return repeated.has(entry) ? [entry, entry] : [entry];
}

/**
 * Reads the items of a section. A faulty item affects only the contexts that use it. `ignored` receives a sentence about
 * each item that no context can use.
 */
export function readEntries(root: Mapping, section: Section, ignored: string[] = []): Map<string, Entry> {
  const list = root[section] ?? [];
  if (!Array.isArray(list)) throw new UnusableKubeconfig(`${section} is not a list`);
  const entries = new Map<string, Entry>();
  for (const [index, item] of list.entries()) {
    const problem = nameProblem(item);
    const isNameable = problem === undefined || section !== 'contexts';
    if (!isEntry(item) || !isNameable) {
      ignored.push(`${section}[${index}] ${problem} and was ignored`);
      continue;
    }
    const first = entries.get(item.name);
    if (first) {
      repeated.add(first);
      problems.set(first, `${section} has two entries named ${quote(item.name)}`);
    } else {
      if (problem !== undefined) problems.set(item, `${section}[${index}] ${problem}`);
      entries.set(item.name, item);
    }
  }
  return entries;
}

function nameProblem(item: Data): string | undefined {
  if (!isEntry(item)) return 'has no name';
  if (item.name.length > maxName) return `has a name longer than ${maxName} characters`;
  return /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(item.name) ? 'has a name with a control character' : undefined;
}

function isEntry(data: Data): data is Entry {
  return isMapping(data) && typeof data.name === 'string' && data.name !== '';
}

/** The fields of an item. Throws UnusableKubeconfig if the item cannot be used. */
export function parsePart(section: Section, entry: Entry, warnings: string[]): Part {
  const problem = problems.get(entry);
  if (problem !== undefined) throw new UnusableKubeconfig(problem);
  const path = `${section}[${quote(entry.name)}]`;
  const key = bodyKeys[section];
  checkKeys({ path, fields: entry, warnings }, ['name', key]);
  const body = entry[key] ?? Object.create(null);
  if (!isMapping(body)) throw new UnusableKubeconfig(`${path}.${key} is not a mapping`);
  return { path: `${path}.${key}`, fields: body, warnings };
}
