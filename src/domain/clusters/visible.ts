import { hash, randomBytes } from 'node:crypto';
import type { Database } from '../../storage/database.ts';
import { readableClusters } from '../access/permissions.ts';
import type { Caller } from '../access/viewer.ts';

/** The clusters that a viewer may read at one moment: their uids, and the numbers of their last changes, by id. */
export type Visible = ReadonlyMap<number, { readonly uid: string; readonly changes: string }>;

/** Reads which clusters a caller may read now. */
export async function readVisible({ prisma }: Pick<Database, 'prisma'>, caller: Caller): Promise<Visible> {
  const rows = await prisma.cluster.findMany({
    where: readableClusters(caller),
    select: { id: true, uid: true, registryChange: true, statusChange: true },
    orderBy: { id: 'asc' },
  });
  return new Map(
    rows.map(({ id, uid, registryChange, statusChange }) => [
      id,
      { uid, changes: `${registryChange}.${statusChange}` },
    ]),
  );
}

// The numbers count what goes on in the whole registry: without the key nobody finds them by trying.
const KEY = randomBytes(32).toString('base64url');

/**
 * The cursor of one who does not see the whole registry. It tells nothing of the rest: what it stands for is only whether
 * the same clusters are visible, and whether nothing of them has changed.
 */
export function writeVisibleCursor(visible: Visible): string {
  const uids = [...visible.values()].map(({ uid }) => uid).join();
  const changes = [...visible.values()].map((one) => one.changes).join();
  return `v.${digest(uids)}.${digest(`${KEY} ${uids} ${changes}`)}`;
}

const CURSOR = /^v\.([\w-]{22})\.[\w-]{22}$/;

export function isVisibleCursor(text: string): boolean {
  return CURSOR.test(text);
}

/** What a cursor says of the clusters that are visible now; undefined for a text that is none of these. */
export function compareVisible(cursor: string, visible: Visible): 'SAME' | 'CHANGED' | 'OTHERS' | undefined {
  const [, uids] = CURSOR.exec(cursor) ?? [];
  if (uids === undefined) return undefined;
  const now = writeVisibleCursor(visible);
  if (now === cursor) return 'SAME';
  return now.startsWith(`v.${uids}.`) ? 'CHANGED' : 'OTHERS';
}

function digest(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 22);
}
