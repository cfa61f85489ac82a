import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';

/** A key of the ring: what it seals with, and the id by which sealed values name it. */
export type SealKey = { readonly id: string; readonly key: KeyObject };

/** Where a sealed value stands. It opens nowhere else. */
export type SealedPlace = { table: string; column: string; uid: string };

export type SealErrorCode = 'UNKNOWN_KEY' | 'TAMPERED' | 'MALFORMED';

/** A sealed value that does not open; the message names the row and never the content. */
export class SealError extends Error {
  override readonly name = 'SealError';
  readonly code: SealErrorCode;

  constructor(code: SealErrorCode, place: SealedPlace, problem: string) {
    super(`${place.table}.${place.column} of ${place.uid} ${problem}`);
    this.code = code;
  }
}

const CIPHER = 'aes-256-gcm';
const NONCE = 12;
const TAG = 16;
const FORMAT = /^k1\.([\w-]{8})\.([\w-]+)$/;

/** Makes a key of the ring from 32 random bytes. */
export function sealKey(secret: Uint8Array): SealKey {
  if (secret.length !== 32) throw new RangeError('a sealing key has 32 bytes');
  // The id is public: it comes from a derivation of its own, and tells nothing about what seals.
  const id = derive(secret, 'kitestring key id', 6).toString('base64url');
  return { id, key: createSecretKey(derive(secret, 'kitestring seal k1', 32)) };
}

/**
 * Seals texts for the place they are stored in: the first key seals, every key opens. Where the ring stands in a file it
 * is read again before anything is sealed and when a key is unknown, so that a rotation beside a running process counts
 * at once.
 */
export class Seal {
  readonly #reread: (() => readonly SealKey[]) | undefined;
  #keys: ReadonlyMap<string, KeyObject> = new Map();
  #first: SealKey;

  constructor(keys: readonly SealKey[], reread?: () => readonly SealKey[]) {
    this.#reread = reread;
    this.#first = this.#take(keys);
  }

  get keyIds(): readonly string[] {
    return [...this.#keys.keys()];
  }

  /** The id of the key that seals. */
  get keyId(): string {
    return this.#first.id;
  }

  /** A secret for another purpose, the same wherever the first key is. */
  derive(purpose: string, salt: string, length: number): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#first.key, salt, purpose, length));
  }

  /**
   * Call it inside the transaction that stores the value: a key is taken from the ring under the same lock, and only
   * when nothing is sealed with it.
   */
  seal(text: string, place: SealedPlace): string {
    return this.sealer()(text, place);
  }

  /** Seals many values under one look at the ring, in the transaction that stores them. */
  sealer(): (text: string, place: SealedPlace) => string {
    this.refresh();
    const { id, key } = this.#first;
    return (text, place) => {
      const nonce = randomBytes(NONCE);
      const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG }).setAAD(boundTo(place, id));
      const sealed = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return `k1.${id}.${sealed.toString('base64url')}`;
    };
  }

  /** The text that was sealed for this place; a SealError MALFORMED, UNKNOWN_KEY or TAMPERED. */
  open(sealed: string, place: SealedPlace): string {
    const [, id = '', body = ''] = FORMAT.exec(sealed) ?? [];
    const bytes = Buffer.from(body, 'base64url');
    // Base64url has several spellings of the same bytes; only ours was sealed.
    if (bytes.length < NONCE + TAG || bytes.toString('base64url') !== body)
      throw new SealError('MALFORMED', place, 'is not a sealed value');
    if (!this.#keys.has(id)) this.refresh();
    const key = this.#keys.get(id);
    if (!key) throw new SealError('UNKNOWN_KEY', place, `is sealed with key ${id}, which is not in the key ring`);
    const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE), { authTagLength: TAG })
      .setAAD(boundTo(place, id))
      .setAuthTag(bytes.subarray(-TAG));
    try {
      return Buffer.concat([decipher.update(bytes.subarray(NONCE, -TAG)), decipher.final()]).toString('utf8');
    } catch {
      throw new SealError('TAMPERED', place, 'was changed, or sealed for another row');
    }
  }

  /** Reads the ring again, where it stands in a file. */
  refresh(): void {
    if (this.#reread) this.#first = this.#take(this.#reread());
  }

  #take(keys: readonly SealKey[]): SealKey {
    const [first] = keys;
    if (!first) throw new RangeError('a key ring has at least one key');
    // A key that was taken out since still opens what was read before.
    this.#keys = new Map([...this.#keys, ...keys.map(({ id, key }) => [id, key] as const)]);
    return first;
  }
}

// JSON keeps the parts apart whatever they hold.
function boundTo({ table, column, uid }: SealedPlace, keyId: string): Buffer {
  return Buffer.from(JSON.stringify(['k1', keyId, table, column, uid]));
}

function derive(secret: Uint8Array, purpose: string, length: number): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', purpose, length));
}
