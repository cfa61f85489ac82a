import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/** Makes a directory that only its owner reads, and those above it. */
export function makeDirectory(path: string): void {
  // mkdirSync's own `recursive` never returns where a directory cannot be made, as in /proc.
  if (existsSync(path)) return;
  if (dirname(path) !== path) makeDirectory(dirname(path));
  try {
    mkdirSync(path, 0o700);
  } catch (error) {
    if (!existsSync(path)) throw error;
  }
}
