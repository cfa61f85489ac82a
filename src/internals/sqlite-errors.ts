/** SQLite's extended result code of an error that node:sqlite threw; 0 for any other error. */
export function sqliteCodeOf(error: unknown): number {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode : 0;
}

/**
 * The columns that a violated constraint names, with their tables: "UNIQUE constraint failed: Cluster.name,
 * Cluster.uid".
 */
export function constraintColumns({ message }: Error): string[] {
  return message.split('constraint failed: ')[1]?.split(', ') ?? [];
}

/** The table or column that a statement names and the database does not have. */
export function missingName({ message }: Error): { kind: 'table' | 'column'; name: string } | undefined {
  const [, kind, name] = /^no such (table|column): (.+)$/.exec(message) ?? [];
  return kind === undefined || name === undefined ? undefined : { kind: kind as 'table' | 'column', name };
}
