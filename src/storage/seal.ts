import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto';

/** A key of the key ring. Sealed values contain the `id` of the key that sealed them. */
export type SealKey = { readonly id: string; readonly key: KeyObject };

/** The table, column and row that a sealed value is bound to. It cannot be opened for any other. */
export type SealedPlace = { table: string; column: string; uid: string };

/** Seals with one key, the key `keyId`. */
export type Sealer = { readonly keyId: string; readonly seal: (text: string, place: SealedPlace) => string };

export type SealErrorCode = 'UNKNOWN_KEY' | 'TAMPERED' | 'MALFORMED';

/** A sealed value could not be opened. The message names the row but never contains the value. */
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

/** Derives a key of the key ring from 32 random bytes. */
export function sealKey(secret: Uint8Array): SealKey {
  if (secret.length !== 32) throw new RangeError('a seal key must have 32 bytes');
  // The id is public, so it is derived separately and reveals nothing about the encryption key.
  const id = derive(secret, 'kitestring key id', 6).toString('base64url');
  return { id, key: createSecretKey(derive(secret, 'kitestring seal k1', 32)) };
}

/**
 * Seals (encrypts) texts and binds each one to the row that stores it. The first key seals, every key opens. A key ring
 * from a file is read again before each seal and when a sealed value names an unknown key, so that a key rotation takes
 * effect in running processes immediately.
 */
export class Seal {
  readonly #reread: (() => readonly SealKey[]) | undefined;
  #keys: ReadonlyMap<string, KeyObject> = new Map();
  #first: SealKey;

  constructor(keys: readonly SealKey[], reread?: () => readonly SealKey[]) {
    this.#reread = reread;
    this.#first = this.#addKeys(keys);
  }

  get keyIds(): readonly string[] {
    return [...this.#keys.keys()];
  }

  /** The id of the key that seals new values. */
  get keyId(): string {
    return this.#first.id;
  }

  /** Derives a secret for another purpose. Every process with the same first key derives the same secret. */
  derive(purpose: string, salt: string, length: number): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#first.key, salt, purpose, length));
  }

  /**
   * Seals a text. Call this inside the transaction that stores the result: a key is removed from the ring under the
   * same lock and only if no stored value is sealed with it.
   */
  seal(text: string, place: SealedPlace): string {
    return this.sealer().seal(text, place);
  }

  /**
   * Reads the key ring once, to seal many values with its first key. Call it inside the transaction that stores them.
   */
  sealer(): Sealer {
    this.refresh();
    const { id, key } = this.#first;
    const seal = (text: string, place: SealedPlace) => {
      const nonce = randomBytes(NONCE);
      const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG }).setAAD(boundTo(place, id));
      const sealed = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return `k1.${id}.${sealed.toString('base64url')}`;
    };
    return { keyId: id, seal };
  }

  /** Opens a sealed value. Throws a SealError with the code MALFORMED, UNKNOWN_KEY or TAMPERED. */
  open(sealed: string, place: SealedPlace): string {
    const [, id = '', body = ''] = FORMAT.exec(sealed) ?? [];
    const bytes = Buffer.from(body, 'base64url');
    // Several base64url texts decode to the same bytes. Only the canonical one is accepted.
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
      throw new SealError('TAMPERED', place, 'was modified, or sealed for another row');
    }
  }

  /** Reads the key ring again if it comes from a file. */
  refresh(): void {
    if (this.#reread) this.#first = this.#addKeys(this.#reread());
  }

  /** Adds keys to the ring and returns the first of them. */
  #addKeys(keys: readonly SealKey[]): SealKey {
    const [first] = keys;
    if (!first) throw new RangeError('a key ring must have at least one key');
    // Keys that were removed from the file stay: values that this process read before the removal still need them.
    this.#keys = new Map([...this.#keys, ...keys.map(({ id, key }) => [id, key] as const)]);
    return first;
  }
}

// JSON keeps the boundaries between the parts unambiguous, regardless of their content.
function boundTo({ table, column, uid }: SealedPlace, keyId: string): Buffer {
  return Buffer.from(JSON.stringify(['k1', keyId, table, column, uid]));
}

function derive(secret: Uint8Array, purpose: string, length: number): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', purpose, length));
}
