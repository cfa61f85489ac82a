import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/** Creates a directory and its missing parents with mode 700. */
export function createDirectory(path: string): void {
  // mkdirSync with `recursive` hangs if the directory cannot be created, for example in /proc.
  if (existsSync(path)) return;
  if (dirname(path) !== path) createDirectory(dirname(path));
  try {
    mkdirSync(path, 0o700);
  } catch (error) {
    if (!existsSync(path)) throw error;
  }
}
