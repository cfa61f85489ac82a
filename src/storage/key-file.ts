import { randomBytes, randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type SealKey, sealKey } from './seal.ts';
import { StartupError } from './startup-error.ts';

export type KeyRing = {
  keys: SealKey[];
  source: 'configuration' | 'file' | 'new file';
  /** One sentence for the log. */
  warning?: string;
};

/**
 * The keys that seal and open stored kubeconfigs: those given by configuration, else those in the file, else a new one.
 * A key is never made over sealed data, and a ring that cannot open all of it is refused.
 */
export async function loadKeyRing(options: {
  /** SEAL_KEY: 32 bytes in base64 or hex each, separated by commas; the first seals. */
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
  const found = await readKeyFile(file);
  if (found) return found;
  if (needed.length > 0)
    throw new StartupError(
      `Stored kubeconfigs are sealed with ${named(needed)}, but the key file ${file} is missing: restore it, or set SEAL_KEY.`,
    );
  await makeKeyFile(file);
  const made = await readKeyFile(file);
  if (!made) throw new StartupError(`The key file ${file} was removed while it was made: start again.`);
  return { ...made, source: 'new file' };
}

async function readKeyFile(file: string): Promise<KeyRing | undefined> {
  let text: string;
  let mode: number;
  try {
    [text, { mode }] = await Promise.all([readFile(file, 'utf8'), stat(file)]);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw new StartupError(`The key file ${file} cannot be read.`, { cause: error });
  }
  const lines = text.split(/\r?\n/).map((line) => line.replace(/#.*/, '').trim());
  const keys = lines.filter((line) => line !== '').map((line) => parseKey(line, `a line of ${file}`));
  if (keys.length === 0) throw new StartupError(`The key file ${file} holds no key: restore it, or set SEAL_KEY.`);
  if ((mode & 0o077) === 0) return { keys, source: 'file' };
  const warning = `The key file ${file} can be read by others (mode ${(mode & 0o777).toString(8)}): chmod 600 it.`;
  return { keys, source: 'file', warning };
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
    const folder = await open(dirname(file));
    await folder.sync().finally(() => folder.close());
  } catch (error) {
    throw new StartupError(`The key file ${file} cannot be written: make its directory writable, or set SEAL_KEY.`, {
      cause: error,
    });
  } finally {
    await rm(draft, { force: true });
  }
}

const NOTE = `# Seals the kubeconfigs in the database. Keep a copy apart from it: without this file they cannot be read.
# One key a line; the first seals, all open.`;

async function writeSynced(file: string, text: string): Promise<void> {
  const handle = await open(file, 'wx', 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function parseGiven(given: string): SealKey[] {
  return given.split(',').map((text) => parseKey(text.trim(), 'SEAL_KEY'));
}

function parseKey(text: string, where: string): SealKey {
  if (/^[0-9a-f]{64}$/i.test(text)) return sealKey(Buffer.from(text, 'hex'));
  if (/^[\w+/-]{43}=?$/.test(text)) return sealKey(Buffer.from(text, 'base64'));
  throw new StartupError(`${where} is not a key of 32 bytes in base64 or hex; make one with: openssl rand -base64 32`);
}

const named = (ids: string[]) => `${ids.length === 1 ? 'key' : 'keys'} ${ids.join(', ')}`;
const hasCode = (error: unknown, code: string) => error instanceof Error && 'code' in error && error.code === code;
