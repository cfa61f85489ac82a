import { hash, randomBytes, timingSafeEqual } from 'node:crypto';

/**
 * An API key as sent in a request: `kite<id>-<secret>`. The id is a positive integer below 2^31 without leading zeros.
 */
export interface ApiKeyText {
  readonly id: number;
  readonly secret: string;
}

const FORMAT = /^kite([1-9][0-9]{0,9})-([\x21-\x7e]{1,512})$/;

/** Parses an API key; undefined if the text does not have the format of one. */
export function parseApiKey(text: string): ApiKeyText | undefined {
  const [, id, secret] = FORMAT.exec(text) ?? [];
  if (!id || !secret || Number(id) >= 2 ** 31) return undefined;
  return { id: Number(id), secret };
}

export function formatApiKey({ id, secret }: ApiKeyText): string {
  return `kite${id}-${secret}`;
}

/** 256 random bits from the CSPRNG. */
export function createSecret(): string {
  return randomBytes(32).toString('base64url');
}

/** The hash of a secret as stored in the database: SHA-256, base64url. */
export function hashSecret(secret: string): string {
  return hash('sha256', secret, 'base64url');
}

/** Compares a secret with a stored hash in constant time. */
export function secretMatches(secret: string, stored: string): boolean {
  const left = Buffer.from(hashSecret(secret));
  const right = Buffer.from(stored);
  return left.length === right.length && timingSafeEqual(left, right);
}

/**
 * Whether a secret chosen by a user has fewer than 128 bits, estimated from its length and alphabet, or fewer than 8
 * distinct characters.
 */
export function isWeak(secret: string): boolean {
  const classes: [RegExp, number][] = [
    [/[a-z]/, 26],
    [/[A-Z]/, 26],
    [/[0-9]/, 10],
    [/[^a-zA-Z0-9]/, 32],
  ];
  const alphabet = classes.reduce((size, [pattern, characters]) => size + (pattern.test(secret) ? characters : 0), 0);
  const distinct = new Set(secret).size;
  return secret.length * Math.log2(alphabet) < 128 || distinct < 8;
}
