import {
  type ASTVisitor,
  type DocumentNode,
  type ExecutionArgs,
  type FieldNode,
  GraphQLError,
  type GraphQLField,
  type GraphQLResolveInfo,
  type GraphQLSchema,
  getIntrospectionQuery,
  getNamedType,
  getOperationAST,
  isLeafType,
  isObjectType,
  Kind,
  parse,
  SchemaMetaFieldDef,
  TypeMetaFieldDef,
  type ValidationContext,
} from 'graphql';
import { fieldsOf, rootFieldsOf } from './document-facts.ts';

/** Maximum number of `__type` fields in a document: code generators read a few types at a time. */
const MAX_TYPES = 10;
/**
 * Maximum work of a document, in introspections of the whole schema. Clients that add `__typename` everywhere need 1.3.
 */
export const MAX_INTROSPECTIONS = 2;
/** Bytes added per field to the size of its name and value: completing a null takes as long as writing 24 bytes. */
const FIELD_WEIGHT = 24;

/**
 * Validation rule that rejects documents which select an introspection field under two response names in one selection
 * set (no known tool does so), or which read `__type` more than MAX_TYPES times.
 */
export function limitIntrospection(context: ValidationContext): ASTVisitor {
  const document = context.getDocument();
  return {
    SelectionSet(selectionSet) {
      const type = context.getParentType();
      if (!type) return;
      const isAboutSchema = type.name.startsWith('__');
      const isRoot = type === context.getSchema().getQueryType();
      if (!isAboutSchema && !isRoot) return;
      const responseNames = new Map<string, string>();
      const types = new Set<string>();
      for (const field of fieldsOf(document, selectionSet)) {
        const { value: name } = field.name;
        const responseName = (field.alias ?? field.name).value;
        if (name === '__type' && types.add(responseName).size > MAX_TYPES)
          return report(context, field, `reads __type more than ${MAX_TYPES} times; read a few types at a time`);
        if (name === '__type' || !(isAboutSchema || name === '__schema')) continue;
        const other = responseNames.get(name) ?? responseName;
        if (other !== responseName)
          return report(context, field, `selects ${name} as "${other}" and as "${responseName}"; select it once`);
        responseNames.set(name, responseName);
      }
    },
  };
}

function report(context: ValidationContext, nodes: FieldNode, reason: string): void {
  context.reportError(new GraphQLError(`The document ${reason}`, { nodes }));
}

/**
 * Estimates the work of a document's introspection fields. 1 is the work of `getIntrospectionQuery` with all options.
 * Undefined if the work exceeds MAX_INTROSPECTIONS, where counting stops.
 */
export function countIntrospections(args: ExecutionArgs): number | undefined {
  const { schema, document, operationName } = args;
  const roots = rootFieldsOf(document, operationName).filter(({ name }) => /^__(?:schema|type)$/.test(name.value));
  if (roots.length === 0) return 0;
  const whole = bytesOfWholeSchema(schema);
  const work = new IntrospectionWork(schema, document, MAX_INTROSPECTIONS * whole);
  for (const root of roots) {
    if (root.name.value === '__schema') work.add(SchemaMetaFieldDef, root, schema);
    else work.add(TypeMetaFieldDef, root, schema.getType(nameOfType(root, args)));
  }
  return work.isOver ? undefined : work.bytes / whole;
}

function nameOfType({ arguments: [name] = [] }: FieldNode, { document, operationName, variableValues }: ExecutionArgs) {
  if (name?.value.kind === Kind.STRING) return name.value.value;
  if (name?.value.kind !== Kind.VARIABLE) return '';
  const variable = name.value.name.value;
  const definition = getOperationAST(document, operationName)?.variableDefinitions?.find(
    (one) => one.variable.name.value === variable,
  );
  const fallback = definition?.defaultValue?.kind === Kind.STRING ? definition.defaultValue.value : '';
  return String(variableValues?.[variable] ?? fallback);
}

const wholeSchemaBytes = new WeakMap<GraphQLSchema, number>();

function bytesOfWholeSchema(schema: GraphQLSchema): number {
  const cached = wholeSchemaBytes.get(schema);
  if (cached !== undefined) return cached;
  const document = parse(
    getIntrospectionQuery({
      ...{ descriptions: true, specifiedByUrl: true, directiveIsRepeatable: true, schemaDescription: true },
      ...{ inputValueDeprecation: true, oneOf: true },
    }),
  );
  const work = new IntrospectionWork(schema, document, Number.POSITIVE_INFINITY);
  for (const root of rootFieldsOf(document, undefined)) work.add(SchemaMetaFieldDef, root, schema);
  wholeSchemaBytes.set(schema, work.bytes);
  return work.bytes;
}

/** Walks the schema like an execution and sums the bytes of the response that it would write. Stops above the limit. */
class IntrospectionWork {
  readonly #schema: GraphQLSchema;
  readonly #document: DocumentNode;
  readonly #limit: number;
  readonly #fields = new Map<FieldNode, FieldNode[]>();
  bytes = 0;

  constructor(schema: GraphQLSchema, document: DocumentNode, limit: number) {
    this.#schema = schema;
    this.#document = document;
    this.#limit = limit;
  }

  get isOver(): boolean {
    return this.bytes > this.#limit;
  }

  /**
   * Adds a field and everything selected below it. `value` is the field's value, such as the schema or one of its
   * types.
   */
  add(field: GraphQLField<unknown, unknown>, node: FieldNode, value: unknown): void {
    this.bytes += FIELD_WEIGHT + (node.alias ?? node.name).value.length;
    const type = getNamedType(field.type);
    if (!isObjectType(type) || value == null) return;
    const definitions = type.getFields();
    const info = { schema: this.#schema } as GraphQLResolveInfo;
    for (const item of Array.isArray(value) ? value : [value])
      for (const child of this.#fieldsOf(node)) {
        if (this.isOver) return;
        const definition = definitions[child.name.value];
        if (definition && !isLeafType(getNamedType(definition.type)))
          this.add(definition, child, definition.resolve?.(item, { includeDeprecated: true }, undefined, info));
        else this.#addText(child, item);
      }
  }

  #addText({ name, alias }: FieldNode, source: Record<string, unknown>): void {
    const text = source[name.value];
    this.bytes += FIELD_WEIGHT + (alias ?? name).value.length + (typeof text === 'string' ? text.length : 0);
  }

  #fieldsOf(node: FieldNode): FieldNode[] {
    const cached = this.#fields.get(node);
    if (cached) return cached;
    const fields = fieldsOf(this.#document, node.selectionSet);
    this.#fields.set(node, fields);
    return fields;
  }
}
