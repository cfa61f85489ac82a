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
  /** Reads the key file again; absent if the keys come from configuration. */
  reread?: () => SealKey[];
};

/**
 * Loads the keys that seal and open stored kubeconfigs from SEAL_KEY or else from the key file. If neither exists,
 * creates a key file, unless the database already contains sealed data. Throws a StartupError if a key that stored data
 * needs is missing.
 */
export async function loadKeyRing(options: {
  /** SEAL_KEY: keys of 32 bytes in base64 or hex, separated by commas or newlines. The first key seals. */
  configured?: string | undefined;
  /** The path of the key file; absent if SEAL_KEY is required. */
  file?: string | undefined;
  /** Reads the ids of the keys with which stored rows are sealed. */
  sealedKeyIds: () => Promise<string[]>;
  /** Ids of keys that may be missing, because they are lost. */
  lost?: readonly string[] | undefined;
  /** Whether any key may be missing from an existing ring. */
  isPartial?: boolean;
}): Promise<KeyRing> {
  const { configured, file } = options;
  const needed = (await options.sealedKeyIds()).filter((id) => !options.lost?.includes(id));
  const ring = configured ? readConfiguredKeys(configured) : await loadOrCreateKeyFile(file, needed);
  const missing = needed.filter((id) => !ring.keys.some((key) => key.id === id));
  if (missing.length > 0 && !options.isPartial)
    throw new StartupError(
      `Stored kubeconfigs are sealed with ${listKeys(missing)}, which ${ring.source === 'configuration' ? 'SEAL_KEY' : file} does not have: add it after the first key${orIfLost(missing)}.`,
    );
  return ring;
}

async function loadOrCreateKeyFile(file: string | undefined, needed: string[]): Promise<KeyRing> {
  if (file === undefined)
    throw new StartupError('Set SEAL_KEY to a key of 32 bytes, for example from: openssl rand -base64 32');
  const found = readKeyFile(file);
  if (found) return found;
  if (needed.length > 0)
    throw new StartupError(
      `Stored kubeconfigs are sealed with ${listKeys(needed)}, but the key file ${file} is missing: restore it, or set SEAL_KEY${orIfLost(needed)}.`,
    );
  await createKeyFile(file);
  const created = readKeyFile(file);
  if (!created)
    throw new StartupError(`The key file ${file} was removed immediately after it was created: start again.`);
  return { ...created, source: 'new file' };
}

function readKeyFile(file: string): KeyRing | undefined {
  const found = readLines(file);
  if (!found) return undefined;
  const { lines, mode } = found;
  const keys = lines.filter(isKey).map((line) => parseLine(line, file));
  if (keys.length === 0) throw new StartupError(`The key file ${file} contains no key: restore it, or set SEAL_KEY.`);
  const ring: KeyRing = { keys, source: 'file', reread: () => rereadKeys(file) };
  if ((mode & 0o077) === 0) return ring;
  const warning = `The key file ${file} is readable by other users (mode ${(mode & 0o777).toString(8)}): run chmod 600 ${file}.`;
  return { ...ring, warning };
}

function rereadKeys(file: string): SealKey[] {
  const ring = readKeyFile(file);
  if (!ring) throw new StartupError(`The key file ${file} is missing: restore it.`);
  return ring.keys;
}

/**
 * Inserts a new key before the existing keys and returns its id. The caller must hold a lock against concurrent edits.
 */
export async function addKey(file: string): Promise<string> {
  const secret = randomBytes(32);
  const { lines, owner } = readExistingFile(file);
  const first = lines.findIndex(isKey);
  await replaceKeyFile(file, lines.toSpliced(first, 0, secret.toString('base64url')), owner);
  return sealKey(secret).id;
}

/** Removes keys from the file, but never the first key. The caller must hold a lock against concurrent edits. */
export async function removeKeys(file: string, ids: readonly string[]): Promise<void> {
  const { lines, owner } = readExistingFile(file);
  const first = lines.findIndex(isKey);
  const remaining = lines.filter((line, at) => at === first || !isKey(line) || !ids.includes(parseLine(line, file).id));
  await replaceKeyFile(file, remaining, owner);
}

type KeyFile = { lines: string[]; mode: number; owner: Pick<Stats, 'uid' | 'gid'> };

function readExistingFile(file: string): KeyFile {
  const found = readLines(file);
  if (!found) throw new StartupError(`The key file ${file} is missing: restore it, or set SEAL_KEY.`);
  return found;
}

function readLines(file: string): KeyFile | undefined {
  try {
    const { mode, uid, gid } = statSync(file);
    return { lines: readFileSync(file, 'utf8').split(/\r?\n/), mode, owner: { uid, gid } };
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw new StartupError(`The key file ${file} cannot be read.`, { cause: error });
  }
}

/** Replaces the file atomically and preserves its owner, even if another user runs the command. */
async function replaceKeyFile(file: string, lines: string[], owner: KeyFile['owner']): Promise<void> {
  const draft = `${file}.${randomUUID()}`;
  try {
    await writeSynced(draft, lines.join('\n'), owner);
    await rename(draft, file);
    await syncDirectoryOf(file);
  } catch (error) {
    throw new StartupError(`The key file ${file} cannot be written: make its directory writable.`, { cause: error });
  } finally {
    await rm(draft, { force: true });
  }
}

/** Creates the file atomically. If two processes create it at the same time, both then read the file of the first. */
async function createKeyFile(file: string): Promise<void> {
  const draft = `${file}.${randomUUID()}`;
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await writeSynced(draft, `${FILE_HEADER}\n${randomBytes(32).toString('base64url')}\n`);
    await link(draft, file).catch((error: unknown) => {
      if (!hasCode(error, 'EEXIST')) throw error;
    });
    await syncDirectoryOf(file);
  } catch (error) {
    throw new StartupError(`The key file ${file} cannot be written: make its directory writable, or set SEAL_KEY.`, {
      cause: error,
    });
  } finally {
    await rm(draft, { force: true });
  }
}

/**
 * Removes drafts that processes left behind when they were killed while writing the key file. Returns the names of the
 * removed drafts.
 */
export function removeAbandonedDrafts(file: string): string[] {
  const folder = dirname(file);
  const draftName = new RegExp(`^${basename(file)}\\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$`);
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => draftName.test(name)) : [];
  const abandoned = names.filter((name) => {
    const draft = statSync(join(folder, name), { throwIfNoEntry: false });
    return draft?.isFile() && Date.now() - draft.mtimeMs > DRAFT_MS;
  });
  for (const name of abandoned) rmSync(join(folder, name), { force: true });
  return abandoned;
}

/** Milliseconds after which a draft counts as abandoned: a running process writes and syncs it within milliseconds. */
const DRAFT_MS = 10 * 60_000;

const FILE_HEADER = `# Seals the kubeconfigs in the database. Store a copy of this file elsewhere: without it they cannot be read.
# One key per line. The first key seals, every key opens.`;

async function writeSynced(file: string, text: string, owner?: KeyFile['owner']): Promise<void> {
  await using handle = await open(file, 'wx', 0o600);
  await handle.writeFile(text);
  if (owner) await handle.chown(owner.uid, owner.gid);
  await handle.sync();
}

async function syncDirectoryOf(file: string): Promise<void> {
  await using folder = await open(dirname(file));
  await folder.sync();
}

const keyText = (line: string) => line.replace(/#.*/, '').trim();
const isKey = (line: string) => keyText(line) !== '';
const parseLine = (line: string, file: string) => sealKey(parseSecret(keyText(line), `A line of ${file}`));

function readConfiguredKeys(configured: string): KeyRing {
  // SEAL_KEY_FILE may name a key file that Kitestring created: one key per line, with comments.
  const texts = configured.split('\n').flatMap((line) => keyText(line).split(','));
  const secrets = texts.flatMap((text) =>
    text.trim() === '' && texts.length > 1 ? [] : [parseSecret(text.trim(), 'SEAL_KEY')],
  );
  const ring: KeyRing = { keys: secrets.map(sealKey), source: 'configuration' };
  return secrets.slice(0, 1).every(isRandom) ? ring : { ...ring, warning: NOT_RANDOM };
}

const NOT_RANDOM =
  'The first key of SEAL_KEY is not random, so it may be guessed: put one from openssl rand -base64 32 before it, and run npm run kitestring -- seal rotate.';

/** Whether 32 bytes look random: they are not text, and at least 16 of them differ. All but one of 10^13 random keys do. */
function isRandom(secret: Uint8Array): boolean {
  return secret.some((byte) => byte < 0x20 || byte > 0x7e) && new Set(secret).size >= 16;
}

function parseSecret(text: string, where: string): Buffer {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  if (/^[\w+/-]{43}=?$/.test(text)) return Buffer.from(text, 'base64');
  throw new StartupError(
    `${where} is not a key of 32 bytes in base64 or hex: create one with openssl rand -base64 32.`,
  );
}

const orIfLost = (ids: string[]) => `. If it is lost, set LOST_SEAL_KEYS=${ids.join(',')} to start without it`;
const listKeys = (ids: string[]) => `${ids.length === 1 ? 'key' : 'keys'} ${ids.join(', ')}`;
const hasCode = (error: unknown, code: string) => error instanceof Error && 'code' in error && error.code === code;
