/**
 * Shuffles the items in place (Fisher–Yates) and returns them. `random`
 * returns a number from 0 up to, but not including, 1.
 */
export function shuffled<T>(items: T[], random: () => number): T[] {
  for (let last = items.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [items[last], items[other]] = [items[other] as T, items[last] as T];
  }
  return items;
}
