import { type ArgType, type ColumnType, ColumnTypeEnum } from '@prisma/driver-adapter-utils';

export type SqliteValue = null | number | bigint | string | Uint8Array;

const DECLARED: Readonly<Record<string, ColumnType>> = {
  DECIMAL: ColumnTypeEnum.Numeric,
  FLOAT: ColumnTypeEnum.Float,
  DOUBLE: ColumnTypeEnum.Double,
  REAL: ColumnTypeEnum.Double,
  INT: ColumnTypeEnum.Int32,
  INTEGER: ColumnTypeEnum.Int32,
  BIGINT: ColumnTypeEnum.Int64,
  'UNSIGNED BIG INT': ColumnTypeEnum.Int64,
  DATETIME: ColumnTypeEnum.DateTime,
  TEXT: ColumnTypeEnum.Text,
  VARCHAR: ColumnTypeEnum.Text,
  BLOB: ColumnTypeEnum.Bytes,
  BOOLEAN: ColumnTypeEnum.Boolean,
  JSONB: ColumnTypeEnum.Json,
};

/** Maps the declared type of a column to its Prisma type. Returns undefined for an expression, which has none. */
export function declaredType(declared: string | null): ColumnType | undefined {
  return declared === null ? undefined : DECLARED[declared.toUpperCase()];
}

/** Derives the Prisma type of an expression from its first value that is not null. */
export function typeOfValues(rows: SqliteValue[][], column: number): ColumnType {
  const value = rows.find((row) => row[column] !== null)?.[column] ?? null;
  if (typeof value === 'string') return ColumnTypeEnum.Text;
  if (typeof value === 'number') return ColumnTypeEnum.UnknownNumber;
  if (typeof value === 'bigint') return isSafe(value) ? ColumnTypeEnum.UnknownNumber : ColumnTypeEnum.Int64;
  return value === null ? ColumnTypeEnum.Int32 : ColumnTypeEnum.Bytes;
}

/** Converts a stored value to the form that Prisma expects for a column of this type. */
export function toPrisma(value: SqliteValue, type: ColumnType): unknown {
  if (value === null || typeof value === 'string') return value;
  // JSONB has numeric affinity, so SQLite stores a document that is only a number as a number.
  if (type === ColumnTypeEnum.Json) return String(value);
  if (type === ColumnTypeEnum.DateTime) return new Date(Number(value)).toISOString();
  if (typeof value === 'bigint') return isSafe(value) ? Number(value) : String(value);
  return value;
}

/**
 * Converts a value from Prisma to its stored form. Dates are stored as ISO 8601 text in UTC with milliseconds, as
 * Prisma's own adapters do, so that sorting the texts sorts the times.
 */
export function toSqlite(value: unknown, type: ArgType | undefined): SqliteValue {
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (value instanceof Date) return isoText(value);
  if (typeof value !== 'string') return value as SqliteValue;
  switch (type?.scalarType) {
    case 'int':
      return Number.parseInt(value, 10);
    case 'bigint':
      return BigInt(value);
    case 'float':
    case 'decimal':
      return Number.parseFloat(value);
    case 'datetime':
      return isoText(new Date(value));
    case 'bytes':
      return Buffer.from(value, 'base64');
    default:
      return value;
  }
}

const isoText = (date: Date) => date.toISOString().replace('Z', '+00:00');
const isSafe = (value: bigint) => Number.isSafeInteger(Number(value));
