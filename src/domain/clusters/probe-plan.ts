import type { LeaseView } from '../../storage/leases.ts';

/** So many times the load of the idlest has the busiest before it gives slots away, and then gives until it has this much. */
const UNEVEN = 1.35;
const EVEN = 1.1;
/** What a slot weighs without clusters: enough to be spread, and nothing beside a cluster. */
const EMPTY_MS = 0.1;

/** What a replica does next. */
export interface Plan {
  readonly take: readonly number[];
  /** Slots that nobody holds, for others to take. */
  readonly leave: readonly number[];
  readonly give: readonly number[];
}

/**
 * What one replica takes and gives, from what all of them see: slots that nobody holds go to whoever has least, and the
 * busiest give to the idlest until they are even; one whose slots are too heavy to even anything keeps them, and the next
 * busiest gives. From the same view each comes to the same plan, and acts on its own part of it.
 */
export function planFor(me: string, { replicas, leases }: LeaseView): Plan {
  const held = new Map<string, { load: number; slots: Map<number, number> }>();
  for (const replica of [...new Set(replicas)].sort()) held.set(replica, { load: 0, slots: new Map() });
  const put = (replica: string, slot: number, weight: number) => {
    const of = held.get(replica);
    of?.slots.set(slot, weight);
    if (of) of.load += weight;
  };
  const free: [slot: number, weight: number][] = [];
  for (const { slot, holder, loadMs } of leases) {
    const weight = Math.max(loadMs, 0) + EMPTY_MS;
    if (holder === undefined) free.push([slot, weight]);
    // Who is not counted on keeps what it holds, and weighs nothing.
    else put(holder, slot, weight);
  }

  const [take, leave]: [number[], number[]] = [[], []];
  for (const [slot, weight] of free.sort((left, right) => right[1] - left[1] || left[0] - right[0])) {
    const [idlest] = byLoad(held);
    if (idlest === undefined) break;
    put(idlest, slot, weight);
    (idlest === me ? take : leave).push(slot);
  }

  const give: number[] = [];
  const stuck = new Set<string>();
  let limit = UNEVEN;
  for (let moves = 0; moves < leases.length; ) {
    const order = byLoad(held);
    const [idlest = '', busiest = ''] = [order[0], order.findLast((replica) => !stuck.has(replica))];
    const [from, to] = [held.get(busiest), held.get(idlest)];
    if (!from || !to || from.load <= to.load * limit) break;
    const slot = whatEvens(from.slots, from.load - to.load);
    if (slot === undefined) {
      stuck.add(busiest);
      continue;
    }
    limit = EVEN;
    moves++;
    const weight = from.slots.get(slot) ?? 0;
    from.slots.delete(slot);
    from.load -= weight;
    put(idlest, slot, weight);
    if (busiest === me && !take.includes(slot)) give.push(slot);
  }
  return { take, leave, give };
}

/** The slot whose move brings two replicas that far apart closest together; none where every move would only swap them. */
function whatEvens(slots: ReadonlyMap<number, number>, apart: number): number | undefined {
  let best: number | undefined;
  let closest = apart;
  for (const [slot, weight] of slots) {
    const left = Math.abs(apart - 2 * weight);
    if (left < closest - 1e-9) [best, closest] = [slot, left];
  }
  return best;
}

function byLoad(held: ReadonlyMap<string, { readonly load: number }>): string[] {
  return [...held]
    .sort((left, right) => left[1].load - right[1].load || (left[0] < right[0] ? -1 : 1))
    .map(([id]) => id);
}
