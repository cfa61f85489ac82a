import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import pLimit from 'p-limit';
import { lazy } from '../../lazy.ts';
import { tooMany } from '../access/throttle.ts';

// OWASP's password storage cheat sheet: argon2id with 19 MiB, two passes, one lane.
const MEMORY_KIB = 19 * 1024;
const PASSES = 2;
const LANES = 1;
const TAG_BYTES = 32;
const FORMAT = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([\w+/]+)\$([\w+/]+)$/;

/** Maximum number of concurrent hashes: each takes 19 MiB and one core for about 30 ms. */
const MAX_AT_ONCE = 2;
/**
 * Maximum number of waiting hashes: about 1.5 s of work. Further ones are rejected, so that legitimate sign-ins do not
 * queue behind a flood.
 */
const MAX_WAITING = 100;

const derive = promisify(argon2);

let admitted = 0;
const limit = pLimit(MAX_AT_ONCE);

/**
 * Reserves the place of one hash while `work` runs, so that an attempt is counted only if its password can be checked.
 * Throws TOO_MANY_ATTEMPTS, before any work, if all places are taken. `work` hashes at most one password at a time.
 */
export async function withHashPlace<T>(work: (hashes: PasswordHashes) => Promise<T>): Promise<T> {
  if (admitted >= MAX_AT_ONCE + MAX_WAITING)
    throw tooMany(2, 'too many passwords are being processed: try again later');
  admitted++;
  try {
    return await work(HASHES);
  } finally {
    admitted--;
  }
}

/** Hashes a password for storage, in PHC format. Throws TOO_MANY_ATTEMPTS if all places are taken. */
export function hashPassword(password: string): Promise<string> {
  return withHashPlace(({ create }) => create(password));
}

/** The operations of a reserved hash place. */
export interface PasswordHashes {
  /** Hashes a password for storage, in PHC format. */
  create(password: string): Promise<string>;
  /** Whether a password matches the stored hash. Without a stored hash it returns false after the same time. */
  matches(password: string, stored: string | null | undefined): Promise<boolean>;
}

const HASHES: PasswordHashes = { create: createHash, matches };

async function createHash(password: string): Promise<string> {
  const nonce = randomBytes(16);
  const tag = await run(password, nonce, { memory: MEMORY_KIB, passes: PASSES, parallelism: LANES });
  return `$argon2id$v=19$m=${MEMORY_KIB},t=${PASSES},p=${LANES}$${unpadded(nonce)}$${unpadded(tag)}`;
}

async function matches(password: string, stored: string | null | undefined): Promise<boolean> {
  // Create the dummy hash in both cases, so that the first call takes equally long with and without a stored hash.
  const dummy = await loadDummyHash();
  const [, memory, passes, parallelism, nonce = '', tag = ''] = FORMAT.exec(stored ?? '') ?? FORMAT.exec(dummy) ?? [];
  const parameters = { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) };
  const expected = Buffer.from(tag, 'base64');
  const actual = await run(password, Buffer.from(nonce, 'base64'), parameters);
  return actual.length === expected.length && timingSafeEqual(actual, expected) && stored != null;
}

const loadDummyHash = lazy(() => createHash(randomBytes(16).toString('hex')));

function run(
  password: string,
  nonce: Buffer,
  parameters: { memory: number; passes: number; parallelism: number },
): Promise<Buffer> {
  return limit(() => derive('argon2id', { message: password, nonce, tagLength: TAG_BYTES, ...parameters }));
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}
