import { type Error as DriverError, isDriverAdapterError } from '@prisma/driver-adapter-utils';

export type { DriverError };

/** The driver adapter's description of an error that a Prisma client threw; undefined for any other error. */
export function driverErrorOf(error: unknown): DriverError | undefined {
  if (!(error instanceof Error)) return undefined;
  // Prisma passes on the error of a failed COMMIT unchanged and wraps every other adapter error.
  if (isDriverAdapterError(error)) return error.cause;
  const meta =
    'meta' in error ? (error.meta as { driverAdapterError?: { cause?: DriverError } } | undefined) : undefined;
  return meta?.driverAdapterError?.cause;
}
