import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, type Stats, statSync } from 'node:fs';
import { link, mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type SealKey, sealKey } from './seal.ts';
import { StartupError } from './startup-error.ts';

export type KeyRing = {
  keys: SealKey[];
  source: 'configuration' | 'file' | 'new file';
  /** One sentence for the log. */
  warning?: string;
  /** Reads the keys again, where they stand in a file. */
  reread?: () => SealKey[];
};

/**
 * The keys that seal and open stored kubeconfigs: those given by configuration, else those in the file, else a new one.
 * A key is never made over sealed data, and a ring that cannot open all of it is refused.
 */
export async function loadKeyRing(options: {
  /** SEAL_KEY: 32 bytes in base64 or hex each, separated by commas or as the lines of a key file; the first seals. */
  given?: string | undefined;
  /** Nothing when a key must be given. */
  file?: string | undefined;
  /** The ids of the keys that stored rows are sealed with. */
  sealedKeyIds: () => Promise<string[]>;
}): Promise<KeyRing> {
  const { given, file } = options;
  const needed = await options.sealedKeyIds();
  const ring = given ? { keys: parseGiven(given), source: 'configuration' as const } : await fromFile(file, needed);
  const missing = needed.filter((id) => !ring.keys.some((key) => key.id === id));
  if (missing.length > 0)
    throw new StartupError(
      `Stored kubeconfigs are sealed with ${named(missing)}, which ${ring.source === 'configuration' ? 'SEAL_KEY' : file} does not have: add it after the first key.`,
    );
  return ring;
}

async function fromFile(file: string | undefined, needed: string[]): Promise<KeyRing> {
  if (file === undefined)
    throw new StartupError('Set SEAL_KEY to a key of 32 bytes, for example from: openssl rand -base64 32');
  const found = readKeyFile(file);
  if (found) return found;
  if (needed.length > 0)
    throw new StartupError(
      `Stored kubeconfigs are sealed with ${named(needed)}, but the key file ${file} is missing: restore it, or set SEAL_KEY.`,
    );
  await makeKeyFile(file);
  const made = readKeyFile(file);
  if (!made) throw new StartupError(`The key file ${file} was removed while it was made: start again.`);
  return { ...made, source: 'new file' };
}

function readKeyFile(file: string): KeyRing | undefined {
  const found = readLines(file);
  if (!found) return undefined;
  const { lines, mode } = found;
  const keys = lines.filter(isKey).map((line) => keyOf(line, file));
  if (keys.length === 0) throw new StartupError(`The key file ${file} holds no key: restore it, or set SEAL_KEY.`);
  const ring: KeyRing = { keys, source: 'file', reread: () => reread(file) };
  if ((mode & 0o077) === 0) return ring;
  const warning = `The key file ${file} can be read by others (mode ${(mode & 0o777).toString(8)}): chmod 600 it.`;
  return { ...ring, warning };
}

function reread(file: string): SealKey[] {
  const ring = readKeyFile(file);
  if (!ring) throw new StartupError(`The key file ${file} is missing: restore it.`);
  return ring.keys;
}

/** Puts a new key in the first place and gives its id; the others stay. Two at once would lose one: hold a lock. */
export async function addKey(file: string): Promise<string> {
  const secret = randomBytes(32);
  const { lines, owner } = linesOf(file);
  const first = lines.findIndex(isKey);
  await replaceKeyFile(file, lines.toSpliced(first, 0, secret.toString('base64url')), owner);
  return sealKey(secret).id;
}

/** Takes keys out of the file, never the first one. Two at once would lose one: hold a lock. */
export async function removeKeys(file: string, ids: readonly string[]): Promise<void> {
  const { lines, owner } = linesOf(file);
  const first = lines.findIndex(isKey);
  const kept = lines.filter((line, at) => at === first || !isKey(line) || !ids.includes(keyOf(line, file).id));
  await replaceKeyFile(file, kept, owner);
}

type Lines = { lines: string[]; mode: number; owner: Pick<Stats, 'uid' | 'gid'> };

function linesOf(file: string): Lines {
  const found = readLines(file);
  if (!found) throw new StartupError(`The key file ${file} is missing: restore it, or set SEAL_KEY.`);
  return found;
}

function readLines(file: string): Lines | undefined {
  try {
    const { mode, uid, gid } = statSync(file);
    return { lines: readFileSync(file, 'utf8').split(/\r?\n/), mode, owner: { uid, gid } };
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw new StartupError(`The key file ${file} cannot be read.`, { cause: error });
  }
}

/** Whoever reads the file meets the old or the new one; its owner stays, whoever runs the command. */
async function replaceKeyFile(file: string, lines: string[], owner: Lines['owner']): Promise<void> {
  const draft = `${file}.${randomUUID()}`;
  try {
    await writeSynced(draft, lines.join('\n'), owner);
    await rename(draft, file);
    await syncFolder(file);
  } catch (error) {
    throw new StartupError(`The key file ${file} cannot be written: make its directory writable.`, { cause: error });
  } finally {
    await rm(draft, { force: true });
  }
}

/** Makes the file whole or not at all; when two make it at once, one wins and both read that. */
async function makeKeyFile(file: string): Promise<void> {
  const draft = `${file}.${randomUUID()}`;
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await writeSynced(draft, `${NOTE}\n${randomBytes(32).toString('base64url')}\n`);
    await link(draft, file).catch((error: unknown) => {
      if (!hasCode(error, 'EEXIST')) throw error;
    });
    await syncFolder(file);
  } catch (error) {
    throw new StartupError(`The key file ${file} cannot be written: make its directory writable, or set SEAL_KEY.`, {
      cause: error,
    });
  } finally {
    await rm(draft, { force: true });
  }
}

/**
 * Removes the drafts that a process left which was killed while it wrote the key file; gives their names. A draft that a
 * running process writes is milliseconds old.
 */
export function removeAbandonedDrafts(file: string): string[] {
  const [folder, own] = [
    dirname(file),
    new RegExp(`^${basename(file)}\\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$`),
  ];
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => own.test(name)) : [];
  const abandoned = names.filter((name) => {
    const draft = statSync(join(folder, name), { throwIfNoEntry: false });
    return draft?.isFile() && Date.now() - draft.mtimeMs > DRAFT_MS;
  });
  for (const name of abandoned) rmSync(join(folder, name), { force: true });
  return abandoned;
}

/** After which no process writes a draft any more: writing and syncing one takes milliseconds. */
const DRAFT_MS = 10 * 60_000;

const NOTE = `# Seals the kubeconfigs in the database. Keep a copy apart from it: without this file they cannot be read.
# One key a line; the first seals, all open.`;

async function writeSynced(file: string, text: string, owner?: Lines['owner']): Promise<void> {
  await using handle = await open(file, 'wx', 0o600);
  await handle.writeFile(text);
  if (owner) await handle.chown(owner.uid, owner.gid);
  await handle.sync();
}

async function syncFolder(file: string): Promise<void> {
  await using folder = await open(dirname(file));
  await folder.sync();
}

const keyText = (line: string) => line.replace(/#.*/, '').trim();
const isKey = (line: string) => keyText(line) !== '';
const keyOf = (line: string, file: string) => parseKey(keyText(line), `a line of ${file}`);

function parseGiven(given: string): SealKey[] {
  // SEAL_KEY_FILE may name a key file of ours: a key a line, with notes.
  const keys = given.split('\n').flatMap((line) => keyText(line).split(','));
  return keys.flatMap((text) => (text.trim() === '' && keys.length > 1 ? [] : parseKey(text.trim(), 'SEAL_KEY')));
}

function parseKey(text: string, where: string): SealKey {
  if (/^[0-9a-f]{64}$/i.test(text)) return sealKey(Buffer.from(text, 'hex'));
  if (/^[\w+/-]{43}=?$/.test(text)) return sealKey(Buffer.from(text, 'base64'));
  throw new StartupError(`${where} is not a key of 32 bytes in base64 or hex; make one with: openssl rand -base64 32`);
}

const named = (ids: string[]) => `${ids.length === 1 ? 'key' : 'keys'} ${ids.join(', ')}`;
const hasCode = (error: unknown, code: string) => error instanceof Error && 'code' in error && error.code === code;
