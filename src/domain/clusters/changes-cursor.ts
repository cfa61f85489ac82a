import type { Counters } from '../../storage/database.ts';

/** The position of a subscriber: the counters as of the last change that was delivered. */
export type ChangesCursor = Pick<Counters, 'registry' | 'status'>;

/** Maximum length of a cursor in characters: two numbers of 15 digits and a dot are 42 characters in base64url. */
const MAX_CHANGES_CURSOR = 42;

export function writeChangesCursor({ registry, status }: ChangesCursor): string {
  return Buffer.from(`${registry}.${status}`).toString('base64url');
}

/** Returns undefined if the text is not a cursor of `writeChangesCursor`. */
export function readChangesCursor(text: string): ChangesCursor | undefined {
  if (text.length > MAX_CHANGES_CURSOR) return undefined;
  const [, registry, status] =
    /^([0-9]{1,15})\.([0-9]{1,15})$/.exec(Buffer.from(text, 'base64url').toString('latin1')) ?? [];
  return registry && status ? { registry: Number(registry), status: Number(status) } : undefined;
}
