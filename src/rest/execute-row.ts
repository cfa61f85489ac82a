import { requireActionOnSome, requireViewer } from '../domain/access/permissions.ts';
import type { Context } from '../graphql/context.ts';
import { executeDocument } from '../graphql/execute.ts';
import type { Row } from './row.ts';

/** A row without the types of its document: values are only passed between the row's functions. */
export type AnyRow = Row<Record<string, object>, Record<string, unknown>>;

/** Requires the role admin for admin routes: custom roles do not grant them. Other routes require a viewer. */
export function requireAccess({ access }: AnyRow, { caller }: Context): void {
  if (access === 'admin') requireActionOnSome(caller, 'rest.use');
  else requireViewer(caller);
}

/** Executes the document of a row. Throws its first error. */
export async function executeRow(
  row: AnyRow,
  request: Parameters<AnyRow['variables']>[0],
  context: Context,
): Promise<Record<string, object>> {
  const { data, errors } = await executeDocument(row.document, row.variables(request), context);
  if (errors?.[0]) throw errors[0];
  return data ?? {};
}

/** Returns the context with the caller's current roles; the same object if nothing has changed since it was created. */
export async function refresh(context: Context): Promise<Context> {
  const counters = await context.database.counters();
  const { access, registry } = context.counters;
  if (counters.access === access && counters.registry === registry) return context;
  return { ...context, counters, caller: await context.caller.refresh() };
}
