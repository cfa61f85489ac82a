import { UnusableKubeconfig } from './yaml.ts';

/** Byte order marks, and the encodings that they stand for. PowerShell writes UTF-16 by default. */
const MARKS = [
  ['utf-16le', [0xff, 0xfe]],
  ['utf-16be', [0xfe, 0xff]],
] as const;

/**
 * Decodes the bytes of a kubeconfig file: UTF-8, or UTF-16 with a byte order mark. Throws UnusableKubeconfig for every
 * other encoding: replacing invalid bytes would store other text than the file contains.
 */
export function decodeKubeconfig(bytes: Uint8Array): string {
  const [encoding] = MARKS.find(([, mark]) => mark.every((byte, index) => bytes[index] === byte)) ?? ['utf-8'];
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new UnusableKubeconfig(`the file is not valid ${encoding.toUpperCase()}: save it as UTF-8`);
  }
}
