import { type DocumentNode, type FieldNode, getOperationAST, Kind, type SelectionSetNode, visit } from 'graphql';

// What a probe observes between two changes, what is asked of a cluster and what the clock decides is new each time.
// Neither refused attempts nor the use of a key raise a counter.
const NEW_EACH_TIME = new Set(['observedAt', 'latencyMs', 'live', 'expiresSoon', 'auditLog', 'lastUsedAt']);

const answered = new WeakMap<DocumentNode, Map<string, boolean>>();

/**
 * Whether a document only reads stored fields, so that its answer is a pure function of the counters, the viewer and
 * the variables. A field is judged by its name, whatever its type: rather computed once too often.
 */
export function readsStoredFields(document: DocumentNode, operationName: string | null | undefined): boolean {
  const byOperation = answered.get(document) ?? new Map<string, boolean>();
  answered.set(document, byOperation);
  const name = operationName ?? '';
  const known = byOperation.get(name);
  if (known !== undefined) return known;
  const stored = getOperationAST(document, operationName)?.operation === 'query' && !selectsNew(document);
  byOperation.set(name, stored);
  return stored;
}

function selectsNew(document: DocumentNode): boolean {
  let found = false;
  visit(document, {
    [Kind.FIELD]: ({ name }) => {
      found ||= NEW_EACH_TIME.has(name.value);
    },
  });
  return found;
}

/** The operation's kind and its first root field, such as `query clusters`: the schema bounds how many there are. */
export function rootFieldOf(document: DocumentNode, operationName: string | null | undefined): string {
  const kind = getOperationAST(document, operationName)?.operation ?? 'query';
  return `${kind} ${rootFieldsOf(document, operationName)[0]?.name.value ?? 'nothing'}`;
}

/** The root fields of an operation, those in fragments too. */
export function rootFieldsOf(document: DocumentNode, operationName: string | null | undefined): FieldNode[] {
  return fieldsOf(document, getOperationAST(document, operationName)?.selectionSet);
}

/** The fields of a selection set, those in its fragments too; each fragment counts once. */
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
