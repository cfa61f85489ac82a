/**
 * `TEST_LENGTH=long` runs soak and chaos tests at their full length, as `.ci/nightly` does. Otherwise each of them runs
 * one short round with the same assertions.
 */
const LONG = process.env.TEST_LENGTH === 'long';

/** Returns the number of rounds, requests or seconds of a soak or chaos test. */
export const lengthOf = (sizes: { readonly short: number; readonly long: number }): number =>
  LONG ? sizes.long : sizes.short;
