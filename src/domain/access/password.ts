import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { tooMany } from './throttle.ts';

// OWASP's password storage cheat sheet: argon2id with 19 MiB, two passes, one lane.
const MEMORY_KIB = 19 * 1024;
const PASSES = 2;
const LANES = 1;
const TAG_BYTES = 32;
const FORMAT = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([\w+/]+)\$([\w+/]+)$/;

/** Hashes that run at once: each takes 19 MiB and a core for some 30 ms. */
const MAX_AT_ONCE = 2;
/** Hashes that wait for those: some 1.5 s of work. More are refused, or those who sign in would wait behind a flood. */
const MAX_WAITING = 100;

const derive = promisify(argon2);

let admitted = 0;
let running = 0;
const waiting: (() => void)[] = [];

/**
 * Reserves the place of one hash while `work` runs, so that no attempt is counted which cannot be checked.
 * TOO_MANY_ATTEMPTS, before any work, while all places are taken. `work` hashes at most one password at a time.
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

/** Hashes a password for storage, in PHC form. TOO_MANY_ATTEMPTS while many wait for that. */
export function hashPassword(password: string): Promise<string> {
  return withHashPlace(({ create }) => create(password));
}

/** The two uses of a reserved place. */
export interface PasswordHashes {
  /** Hashes a password for storage, in PHC form. */
  create(password: string): Promise<string>;
  /** Whether a password is the stored one. Without a stored one the comparison takes as long and answers false. */
  matches(password: string, stored: string | null | undefined): Promise<boolean>;
}

const HASHES: PasswordHashes = { create: createHash, matches };

async function createHash(password: string): Promise<string> {
  const nonce = randomBytes(16);
  const tag = await run(password, nonce, { memory: MEMORY_KIB, passes: PASSES, parallelism: LANES });
  return `$argon2id$v=19$m=${MEMORY_KIB},t=${PASSES},p=${LANES}$${unpadded(nonce)}$${unpadded(tag)}`;
}

async function matches(password: string, stored: string | null | undefined): Promise<boolean> {
  // Made for both, so that the first who asks cannot tell one from the other.
  const none = await nobody();
  const [, memory, passes, parallelism, nonce = '', tag = ''] = FORMAT.exec(stored ?? '') ?? FORMAT.exec(none) ?? [];
  const parameters = { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) };
  const expected = Buffer.from(tag, 'base64');
  const found = await run(password, Buffer.from(nonce, 'base64'), parameters);
  return found.length === expected.length && timingSafeEqual(found, expected) && stored != null;
}

let nobodys: Promise<string> | undefined;

function nobody(): Promise<string> {
  nobodys ??= createHash(randomBytes(16).toString('hex')).catch((error: unknown) => {
    nobodys = undefined;
    throw error;
  });
  return nobodys;
}

async function run(
  password: string,
  nonce: Buffer,
  parameters: { memory: number; passes: number; parallelism: number },
): Promise<Buffer> {
  if (running < MAX_AT_ONCE) running++;
  else await new Promise<void>((resolve) => waiting.push(resolve));
  try {
    return await derive('argon2id', { message: password, nonce, tagLength: TAG_BYTES, ...parameters });
  } finally {
    // Whoever waits takes the place, so that nobody who comes now does.
    const next = waiting.shift();
    if (next) next();
    else running--;
  }
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}
