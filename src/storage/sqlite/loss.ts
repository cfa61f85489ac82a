import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findWalDamage } from './wal.ts';
import { hasUnprobedClusters, type Progress, readWitness, type Witness } from './witness.ts';

/** What shows that a database lacks what it had, as it stands before SQLite opens the database. */
export interface Evidence {
  readonly walDamage: string | undefined;
  readonly witness: Witness | undefined;
  /** The key file that another start has made beside the database. */
  readonly keyFile: string | undefined;
}

const RESTORE = 'restore a backup with npm run kitestring -- restore FILE';

/** Reads the files beside the database. SQLite removes some of them as soon as it opens the database. */
export function gatherEvidence(file: string): Evidence {
  const keyFile = join(dirname(file), 'seal-keys');
  return {
    walDamage: findWalDamage(file),
    witness: readWitness(file),
    keyFile: existsSync(keyFile) ? keyFile : undefined,
  };
}

/** Sentences for the log, one for each thing that a database lacks. `isNew`: nothing was in it before it was opened. */
export function describeLoss(
  file: string,
  { walDamage, witness, keyFile }: Evidence,
  { isNew, progress }: { isNew: boolean; progress: Progress },
): string[] {
  const warnings = walDamage === undefined ? [] : [describeWalDamage(file, walDamage)];
  const sign = keyFile ?? (witness && `${file}-witness`);
  if (isNew && sign !== undefined)
    warnings.push(
      `The database ${file} was missing or empty and begins anew, although ${sign} shows that there was one: ${RESTORE}, unless this registry is meant to be new.`,
    );
  if (!isNew && witness && hasUnprobedClusters(progress, witness))
    warnings.push(
      `The database ${file} lacks changes that it had at ${witness.at}: its log ${file}-wal was removed or damaged, or an older file was put in its place. If the changes matter, ${RESTORE}.`,
    );
  return warnings;
}

/** The sentence about the log of a database that no process has open, for what opens the database without migrating it. */
export function warnOfWal(file: string): string[] {
  const damage = findWalDamage(file);
  return damage === undefined ? [] : [describeWalDamage(file, damage)];
}

function describeWalDamage(file: string, damage: string): string {
  return `The log ${file}-wal of the database ${damage}: the last changes before the database was last closed may be lost. If they matter, ${RESTORE}.`;
}
