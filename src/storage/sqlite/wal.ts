import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { endianness } from 'node:os';

// https://sqlite.org/walformat.html
const HEADER = 32;
const FRAME_HEADER = 24;
const MAGIC = 0x377f0682;
const VERSION = 3_007_000;
/** The index begins with its header twice, and then the number of frames that the database file has already. */
const INDEX_HEADER = 48;
const BACKFILLED = 2 * INDEX_HEADER;

type Checksum = readonly [number, number];

/**
 * What is wrong with the write-ahead log of a database that no process has open, as the end of a sentence about it;
 * undefined where SQLite will read all that was committed. It must be asked before SQLite opens the database, which
 * silently ignores whatever does not verify. After a killed process the index beside the log tells how many frames were
 * committed; without the index only the log's own header can be checked.
 */
export function findWalDamage(file: string): string | undefined {
  const index = readIndex(`${file}-shm`);
  const damage = damageOf(`${file}-wal`, index);
  // A process that has the database open may have moved on between the two reads.
  return damage !== undefined && isSame(index, readIndex(`${file}-shm`)) ? damage : undefined;
}

function damageOf(wal: string, index: Index | undefined): string | undefined {
  const size = statSync(wal, { throwIfNoEntry: false })?.size ?? 0;
  const isAwaited = index !== undefined && index.frames > index.backfilled;
  if (size === 0) return isAwaited ? 'is missing' : undefined;
  const log = openSync(wal, 'r');
  try {
    const header = readAt(log, 0, HEADER);
    const read = header && readHeader(header);
    if (!read) return 'is damaged';
    if (!isAwaited) return undefined;
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
 * Whether a log was begun after the one that an index belongs to: each adds one to the first half of the salt, and begins
 * once the database file has all of the one before. After a power failure an index may be older than its log.
 */
function isLater(salt: Buffer, than: Buffer): boolean {
  const ahead = (salt.readUInt32BE(0) - than.readUInt32BE(0)) >>> 0;
  return ahead > 0 && ahead < 2 ** 31;
}

/** The frames up to the last commit that verify, of those that the index knows; a frame at a time is in memory. */
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

/** The index as the last commit left it; undefined where there is none, or it is not whole. */
function readIndex(file: string): Index | undefined {
  if (endianness() !== 'LE' || !statSync(file, { throwIfNoEntry: false })?.isFile()) return undefined;
  const index = readFileSync(file);
  if (index.length < BACKFILLED + 4) return undefined;
  const header = index.subarray(0, INDEX_HEADER);
  const isWhole = header.equals(index.subarray(INDEX_HEADER, BACKFILLED)) && index[12] === 1;
  const [first, second] = sum([0, 0], header.subarray(0, 40), true);
  if (!isWhole || header.readUInt32LE(40) !== first || header.readUInt32LE(44) !== second) return undefined;
  const frames = header.readUInt32LE(16);
  return { header, frames, backfilled: index.readUInt32LE(BACKFILLED), salt: header.subarray(32, 40) };
}

function isSame(left: Index | undefined, right: Index | undefined): boolean {
  return left === undefined ? right === undefined : right !== undefined && left.header.equals(right.header);
}

/** SQLite's running checksum over a multiple of eight bytes. */
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
