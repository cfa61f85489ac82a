import type { LeaseView } from '../../storage/leases.ts';

/** Rebalance once the busiest replica has 1.35 times the load of the least loaded. */
const UNEVEN_RATIO = 1.35;
/** Once started, rebalance until the busiest replica has at most 1.1 times the load of the least loaded. */
const EVEN_RATIO = 1.1;
/**
 * Load in milliseconds of a slot without clusters: empty slots are spread evenly too, but count little beside a
 * cluster.
 */
const EMPTY_MS = 0.1;

/** The slots that one replica claims or gives away next. */
export interface Plan {
  readonly take: readonly number[];
  /** Free slots that are assigned to other replicas. */
  readonly leave: readonly number[];
  readonly give: readonly number[];
}

/**
 * Plans which slots the replica `me` claims and gives away. Each free slot goes to the replica with the least load. Then the
 * busiest replica gives slots to the least loaded until both have about the same load. If no single slot of the busiest
 * replica would reduce the difference, it keeps its slots and the next busiest gives. All replicas compute the same plan
 * from the same view, and each carries out its own part.
 */
export function planFor(me: string, { replicas, leases }: LeaseView): Plan {
  const held = new Map<string, { load: number; slots: Map<number, number> }>();
  for (const replica of [...new Set(replicas)].sort()) held.set(replica, { load: 0, slots: new Map() });
  const add = (replica: string, slot: number, weight: number) => {
    const share = held.get(replica);
    share?.slots.set(slot, weight);
    if (share) share.load += weight;
  };
  const free: [slot: number, weight: number][] = [];
  for (const { slot, holder, loadMs } of leases) {
    const weight = Math.max(loadMs, 0) + EMPTY_MS;
    if (holder === undefined) free.push([slot, weight]);
    // `add` ignores holders that are not in `replicas`: they keep their slots and do not count as load.
    else add(holder, slot, weight);
  }

  const [take, leave]: [number[], number[]] = [[], []];
  for (const [slot, weight] of free.sort((left, right) => right[1] - left[1] || left[0] - right[0])) {
    const [leastLoaded] = byLoad(held);
    if (leastLoaded === undefined) break;
    add(leastLoaded, slot, weight);
    (leastLoaded === me ? take : leave).push(slot);
  }

  const give: number[] = [];
  const keepers = new Set<string>();
  let maxRatio = UNEVEN_RATIO;
  for (let moves = 0; moves < leases.length; ) {
    const order = byLoad(held);
    const [leastLoaded = '', busiest = ''] = [order[0], order.findLast((replica) => !keepers.has(replica))];
    const [from, to] = [held.get(busiest), held.get(leastLoaded)];
    if (!from || !to || from.load <= to.load * maxRatio) break;
    const slot = findBestSlotToMove(from.slots, from.load - to.load);
    if (slot === undefined) {
      keepers.add(busiest);
      continue;
    }
    maxRatio = EVEN_RATIO;
    moves++;
    const weight = from.slots.get(slot) ?? 0;
    from.slots.delete(slot);
    from.load -= weight;
    add(leastLoaded, slot, weight);
    if (busiest === me && !take.includes(slot)) give.push(slot);
  }
  return { take, leave, give };
}

/**
 * Finds the slot to move from one replica to another so that their loads, `difference` apart, become as equal as possible.
 * Returns undefined if no move makes them more equal.
 */
function findBestSlotToMove(slots: ReadonlyMap<number, number>, difference: number): number | undefined {
  let best: number | undefined;
  let smallest = difference;
  for (const [slot, weight] of slots) {
    const remaining = Math.abs(difference - 2 * weight);
    if (remaining < smallest - 1e-9) [best, smallest] = [slot, remaining];
  }
  return best;
}

function byLoad(held: ReadonlyMap<string, { readonly load: number }>): string[] {
  return [...held]
    .sort((left, right) => left[1].load - right[1].load || (left[0] < right[0] ? -1 : 1))
    .map(([id]) => id);
}
