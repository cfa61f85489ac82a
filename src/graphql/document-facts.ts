import { type DocumentNode, type FieldNode, getOperationAST, Kind, type SelectionSetNode, visit } from 'graphql';

// Fields that can change without raising a counter: probe observations between two state changes, live reads, values
// that depend on the current time, audit records of refused attempts, and the last use of an API key.
const UNCACHEABLE_FIELDS = new Set(['observedAt', 'latencyMs', 'live', 'expiresSoon', 'auditLog', 'lastUsedAt']);

const resultsByDocument = new WeakMap<DocumentNode, Map<string, boolean>>();

/**
 * Whether an operation reads only stored fields, so that its response depends only on the counters, the viewer and the
 * variables, and can be cached. Fields are compared by name only, regardless of the type they belong to: a false match
 * merely costs another execution.
 */
export function readsStoredFields(document: DocumentNode, operationName: string | null | undefined): boolean {
  const byOperation = resultsByDocument.get(document) ?? new Map<string, boolean>();
  resultsByDocument.set(document, byOperation);
  const name = operationName ?? '';
  const cached = byOperation.get(name);
  if (cached !== undefined) return cached;
  const stored = getOperationAST(document, operationName)?.operation === 'query' && !selectsUncacheable(document);
  byOperation.set(name, stored);
  return stored;
}

function selectsUncacheable(document: DocumentNode): boolean {
  let found = false;
  visit(document, {
    [Kind.FIELD]: ({ name }) => {
      found ||= UNCACHEABLE_FIELDS.has(name.value);
    },
  });
  return found;
}

/**
 * The operation's kind and first root field, such as `query clusters`. The schema bounds the number of values, so they
 * can label metrics.
 */
export function rootFieldOf(document: DocumentNode, operationName: string | null | undefined): string {
  const kind = getOperationAST(document, operationName)?.operation ?? 'query';
  return `${kind} ${rootFieldsOf(document, operationName)[0]?.name.value ?? 'nothing'}`;
}

/** Returns the root fields of an operation, including those in fragments. */
export function rootFieldsOf(document: DocumentNode, operationName: string | null | undefined): FieldNode[] {
  return fieldsOf(document, getOperationAST(document, operationName)?.selectionSet);
}

/**
 * Returns the fields of a selection set, including those in its fragments. A fragment spread twice is included once.
 */
export function fieldsOf(document: DocumentNode, selectionSet: SelectionSetNode | undefined): FieldNode[] {
  const fields: FieldNode[] = [];
  const seen = new Set<SelectionSetNode>();
  const collect = (selectionSet: SelectionSetNode | undefined) => {
    if (!selectionSet || seen.has(selectionSet)) return;
    seen.add(selectionSet);
    for (const selection of selectionSet.selections) {
      if (selection.kind === Kind.FIELD) fields.push(selection);
      else if (selection.kind === Kind.INLINE_FRAGMENT) collect(selection.selectionSet);
      else collect(fragmentsOf(document).get(selection.name.value));
    }
  };
  collect(selectionSet);
  return fields;
}

const fragments = new WeakMap<DocumentNode, Map<string, SelectionSetNode>>();

function fragmentsOf(document: DocumentNode): Map<string, SelectionSetNode> {
  let byName = fragments.get(document);
  if (byName) return byName;
  byName = new Map();
  for (const definition of document.definitions)
    if (definition.kind === Kind.FRAGMENT_DEFINITION) byName.set(definition.name.value, definition.selectionSet);
  fragments.set(document, byName);
  return byName;
}
