import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { endianness } from 'node:os';

// https://sqlite.org/walformat.html
const HEADER = 32;
const FRAME_HEADER = 24;
const MAGIC = 0x377f0682;
const VERSION = 3_007_000;
/** The -shm index starts with two copies of its header, then the number of frames already in the database file. */
const INDEX_HEADER = 48;
const BACKFILLED_OFFSET = 2 * INDEX_HEADER;

type Checksum = readonly [number, number];

/**
 * Describes damage to the write-ahead log as the end of a sentence, such as "is missing"; undefined if SQLite can read
 * everything that was committed. Call this before SQLite opens the database, while no process has it open: SQLite
 * silently ignores invalid frames. After a process was killed, the index (-shm) contains the number of committed
 * frames. Without the index, only the header of the log can be checked.
 */
export function findWalDamage(file: string): string | undefined {
  const index = readIndex(`${file}-shm`);
  const damage = damageOf(`${file}-wal`, index);
  // If the index has changed, another process has the database open and the two files were read at different times.
  return damage !== undefined && isSame(index, readIndex(`${file}-shm`)) ? damage : undefined;
}

function damageOf(wal: string, index: Index | undefined): string | undefined {
  const size = statSync(wal, { throwIfNoEntry: false })?.size ?? 0;
  const isNeeded = index !== undefined && index.frames > index.backfilled;
  if (size === 0) return isNeeded ? 'is missing' : undefined;
  const log = openSync(wal, 'r');
  try {
    const header = readAt(log, 0, HEADER);
    const read = header && readHeader(header);
    if (!read) return 'is damaged';
    if (!isNeeded) return undefined;
    if (!read.salt.equals(index.salt)) return isLater(read.salt, index.salt) ? undefined : 'is an older one';
    return countCommitted(log, read, index) < index.frames ? 'is cut or damaged' : undefined;
  } finally {
    closeSync(log);
  }
}

interface Header {
  readonly pageSize: number;
  readonly littleEndian: boolean;
  readonly salt: Buffer;
  readonly checksum: Checksum;
}

function readHeader(header: Buffer): Header | undefined {
  const magic = header.readUInt32BE(0);
  const littleEndian = magic === MAGIC;
  if (!littleEndian && magic !== MAGIC + 1) return undefined;
  const checksum = sum([0, 0], header.subarray(0, 24), littleEndian);
  if (header.readUInt32BE(4) !== VERSION || !endsWith(header, 24, checksum)) return undefined;
  return { pageSize: header.readUInt32BE(8), littleEndian, salt: header.subarray(16, 24), checksum };
}

/**
 * Whether a log was started after the log that the index belongs to. SQLite starts a new log once the database file
 * contains the whole previous one, and increments the first half of the salt each time. After a power failure the index
 * may be older than the log.
 */
function isLater(salt: Buffer, indexSalt: Buffer): boolean {
  const difference = (salt.readUInt32BE(0) - indexSalt.readUInt32BE(0)) >>> 0;
  return difference > 0 && difference < 2 ** 31;
}

/**
 * Counts the valid frames up to the last commit, at most the number in the index. Holds one frame in memory at a time.
 */
function countCommitted(log: number, { pageSize, littleEndian, salt, checksum }: Header, { frames }: Index): number {
  let [committed, running] = [0, checksum];
  for (let number = 1; number <= frames; number++) {
    const frame = readAt(log, HEADER + (number - 1) * (FRAME_HEADER + pageSize), FRAME_HEADER + pageSize);
    if (!frame?.subarray(8, 16).equals(salt)) break;
    running = sum(running, frame.subarray(0, 8), littleEndian);
    running = sum(running, frame.subarray(FRAME_HEADER), littleEndian);
    if (!endsWith(frame, 16, running)) break;
    if (frame.readUInt32BE(4) !== 0) committed = number;
  }
  return committed;
}

interface Index {
  readonly header: Buffer;
  readonly frames: number;
  readonly backfilled: number;
  readonly salt: Buffer;
}

/**
 * Reads the index as the last commit wrote it. Returns undefined if the file is missing, incomplete or inconsistent.
 */
function readIndex(file: string): Index | undefined {
  if (endianness() !== 'LE' || !statSync(file, { throwIfNoEntry: false })?.isFile()) return undefined;
  const index = readFileSync(file);
  if (index.length < BACKFILLED_OFFSET + 4) return undefined;
  const header = index.subarray(0, INDEX_HEADER);
  const isConsistent = header.equals(index.subarray(INDEX_HEADER, BACKFILLED_OFFSET)) && index[12] === 1;
  const [first, second] = sum([0, 0], header.subarray(0, 40), true);
  if (!isConsistent || header.readUInt32LE(40) !== first || header.readUInt32LE(44) !== second) return undefined;
  const frames = header.readUInt32LE(16);
  return { header, frames, backfilled: index.readUInt32LE(BACKFILLED_OFFSET), salt: header.subarray(32, 40) };
}

function isSame(left: Index | undefined, right: Index | undefined): boolean {
  return left === undefined ? right === undefined : right !== undefined && left.header.equals(right.header);
}

/** Continues SQLite's running checksum. The length of `bytes` must be a multiple of eight. */
function sum([first, second]: Checksum, bytes: Buffer, littleEndian: boolean): Checksum {
  let [one, two] = [first, second];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at < bytes.length; at += 8) {
    one = (one + view.getUint32(at, littleEndian) + two) >>> 0;
    two = (two + view.getUint32(at + 4, littleEndian) + one) >>> 0;
  }
  return [one, two];
}

const endsWith = (bytes: Buffer, at: number, [first, second]: Checksum) =>
  bytes.readUInt32BE(at) === first && bytes.readUInt32BE(at + 4) === second;

function readAt(file: number, position: number, length: number): Buffer | undefined {
  const bytes = Buffer.alloc(length);
  return readSync(file, bytes, 0, length, position) === length ? bytes : undefined;
}
