import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findWalDamage } from './wal.ts';
import { isBehindWitness, type Progress, readWitness, type Witness } from './witness.ts';

/** Evidence that a database has lost data, collected before SQLite opens the database. */
export interface Evidence {
  readonly walDamage: string | undefined;
  readonly witness: Witness | undefined;
  /** The key file that an earlier start created beside the database; undefined if there is none. */
  readonly keyFile: string | undefined;
}

const RESTORE = 'restore a backup with npm run kitestring -- restore FILE';

/**
 * Reads the files beside the database. Must run before SQLite opens the database, because SQLite removes some of them.
 */
export function gatherEvidence(file: string): Evidence {
  const keyFile = join(dirname(file), 'seal-keys');
  return {
    walDamage: findWalDamage(file),
    witness: readWitness(file),
    keyFile: existsSync(keyFile) ? keyFile : undefined,
  };
}

/** Describes each detected loss in one sentence for the log. `isNew`: the database was empty before it was opened. */
export function describeLoss(
  file: string,
  { walDamage, witness, keyFile }: Evidence,
  { isNew, progress }: { isNew: boolean; progress: Progress },
): string[] {
  const warnings = walDamage === undefined ? [] : [describeWalDamage(file, walDamage)];
  const trace = keyFile ?? (witness && `${file}-witness`);
  if (isNew && trace !== undefined)
    warnings.push(
      `The database ${file} was missing or empty and a new one was created, although ${trace} shows that a database existed: ${RESTORE}, unless this registry is meant to be new.`,
    );
  if (!isNew && witness && isBehindWitness(progress, witness))
    warnings.push(
      `The database ${file} lacks changes that it had at ${witness.at}: its log ${file}-wal was removed or damaged, or an older file was put in its place. If the changes matter, ${RESTORE}.`,
    );
  return warnings;
}

/**
 * Warns about a damaged write-ahead log, for commands that open the database without migrating it. No process may have
 * the database open.
 */
export function warnOfWal(file: string): string[] {
  const damage = findWalDamage(file);
  return damage === undefined ? [] : [describeWalDamage(file, damage)];
}

function describeWalDamage(file: string, damage: string): string {
  return `The log ${file}-wal of the database ${damage}: the last changes before the database was last closed may be lost. If they matter, ${RESTORE}.`;
}
