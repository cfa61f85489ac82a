/**
 * Returns a function that loads a value on first use and shares it: concurrent callers share one load, and once it has
 * ended they get the value without a promise. A failure is forgotten, so that the next call loads again.
 *
 * A call with another key than the last one loads a new value; `load` also gets the previous one if it was loaded. After
 * `reuseMs` milliseconds, Infinity by default, a value is loaded again.
 */
export function lazy<Value, Key = void>(
  load: (key: Key, previous: Value | undefined) => Promise<Value>,
  { reuseMs = Number.POSITIVE_INFINITY } = {},
): (key: Key) => Value | Promise<Value> {
  let latest: { key: Key; value: Value | Promise<Value>; loaded?: Value; until: number } | undefined;
  return (key) => {
    if (latest !== undefined && latest.key === key && performance.now() < latest.until) return latest.value;
    const loading = load(key, latest?.loaded);
    const entry: NonNullable<typeof latest> = { key, value: loading, until: Number.POSITIVE_INFINITY };
    latest = entry;
    loading.then(
      (value) => {
        entry.value = value;
        entry.loaded = value;
        entry.until = performance.now() + reuseMs;
      },
      () => {
        if (latest === entry) latest = undefined;
      },
    );
    return loading;
  };
}
