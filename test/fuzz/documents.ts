import { readFileSync } from 'node:fs';
import {
  buildSchema,
  type GraphQLCompositeType,
  type GraphQLField,
  getNamedType,
  getNullableType,
  isAbstractType,
  isCompositeType,
  isLeafType,
  isListType,
  isRequiredArgument,
  OperationTypeNode,
  print,
  SchemaMetaFieldDef,
  TypeMetaFieldDef,
  valueToLiteral,
} from 'graphql';
import { inputValue, isGiven } from './input-values.ts';
import type { Random } from './random.ts';
import { hostileText, strangeValue } from './values.ts';

const schema = buildSchema(readFileSync(new URL('../../schema.graphql', import.meta.url), 'utf8'));
const typeNames = Object.keys(schema.getTypeMap());

/** A document with its variables; `about` describes it in a few words. */
export interface FuzzDocument {
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly about: string;
  readonly isMutation: boolean;
  readonly isSubscription: boolean;
}

/** How often one field is repeated: counts near the limits of fields, depth, tokens and cost. */
const REPEATED = [2, 10, 30, 60, 90, 95, 290, 490, 490];
/**
 * Targets for repetition in tokens, characters and fields (fields of fragments included): most are below the product's
 * limits, some above.
 */
const TOKENS = [1_900, 1_900, 1_900, 2_200];
const CHARACTERS = [14_000, 60_000, 70_000];
const FIELDS = [95, 270, 490, 100_000];
/** Longer values are sent as variables. */
const MAX_LITERAL = 5_000;
const MAX_DEPTH = 11;

/** The share of documents that contain invalid values, and the share of invalid values in them. */
const HOSTILE_DOCUMENTS = 0.35;
const HOSTILE_VALUES = 0.04;

const { QUERY, MUTATION, SUBSCRIPTION } = OperationTypeNode;
/** The pool that the operation type is picked from at random. */
const OPERATIONS = [...Array<OperationTypeNode>(8).fill(QUERY), MUTATION, MUTATION, SUBSCRIPTION];

type Field = GraphQLField<unknown, unknown>;

/**
 * Writes a document that is valid against the schema: few or many fields, aliases, fragments, directives and variables.
 */
class DocumentWriter {
  readonly #random: Random;
  readonly #values: Record<string, unknown> = {};
  readonly #definitions: string[] = [];
  readonly #fragments: string[] = [];
  /** The number of fields that each fragment expands to. */
  readonly #sizes = new Map<string, number>();
  readonly #hostile: number;
  #repetitions: number;
  readonly #most: { readonly tokens: number; readonly characters: number; readonly fields: number };

  constructor(random: Random) {
    this.#random = random;
    this.#hostile = random.chance(HOSTILE_DOCUMENTS) ? HOSTILE_VALUES : 0;
    this.#repetitions = random.pick([1, 1, 1, 2, 5]);
    this.#most = { tokens: random.pick(TOKENS), characters: random.pick(CHARACTERS), fields: random.pick(FIELDS) };
  }

  write(favored: readonly string[] = []): FuzzDocument {
    const random = this.#random;
    const isFavored = favored.length > 0 && random.chance(0.9);
    const kinds = OPERATIONS.filter((kind) => !isFavored || this.#rootFields(kind, favored).length > 0);
    const kind = random.pick(kinds);
    const fields = this.#rootFields(kind, isFavored ? favored : undefined);
    const roots = random.chance(0.85) ? [random.weighted(fields, weightOf)] : random.sample(fields, 3);
    const isNarrow = random.chance(0.7);
    const selection = roots.map((field) => (isNarrow ? this.#path(field, 1) : this.#field(field, 1))).join(' ');
    const definitions = this.#definitions.length > 0 ? `(${this.#definitions.join(', ')})` : '';
    return {
      query: `${kind} ${definitions} { ${selection} } ${this.#fragments.join(' ')}`,
      variables: this.#values,
      about: `${kind} ${roots.map(({ name }) => name).join(' ')}`,
      isMutation: kind === MUTATION,
      isSubscription: kind === SUBSCRIPTION,
    };
  }

  #rootFields(kind: OperationTypeNode, names?: readonly string[]): Field[] {
    const root = schema.getRootType(kind);
    return root ? fieldsOf(root).filter(({ name }) => names?.includes(name) ?? true) : [];
  }

  /** Writes a field with some of its subfields. */
  #field(field: Field, depth: number): string {
    const type = getNamedType(field.type);
    const below = isCompositeType(type) ? ` { ${this.#some(type, depth + 1)} }` : '';
    return this.#repeat(field.name, `${this.#argumentsOf(field)}${this.#directive()}${below}`, 0.08);
  }

  #some(type: GraphQLCompositeType, depth: number): string {
    const fields = fieldsOf(type).filter((field) => depth < MAX_DEPTH || isLeafType(getNamedType(field.type)));
    const subfields = this.#random.sample(fields, 1 + this.#random.below(5)).map((field) => this.#field(field, depth));
    const members = this.#members(type, (member) => this.#some(member, depth + 1));
    return this.#maybeFragment(type, ['__typename', ...subfields, ...members].join(' '));
  }

  /** Writes a path down to one leaf, or to all leaves of a type, and repeats its fields under aliases. */
  #path(field: Field, depth: number): string {
    const type = getNamedType(field.type);
    const below = isCompositeType(type) ? ` { ${this.#onePathBelow(type, depth + 1)} }` : '';
    return this.#repeat(field.name, `${this.#argumentsOf(field)}${this.#directive()}${below}`, 0.35);
  }

  #onePathBelow(type: GraphQLCompositeType, depth: number): string {
    const random = this.#random;
    const fields = fieldsOf(type);
    const leaves = fields.filter((field) => isLeafType(getNamedType(field.type)));
    const composites = fields.filter((field) => !leaves.includes(field));
    const members = this.#members(type, (member) => this.#onePathBelow(member, depth));
    if (members.length > 0) return this.#maybeFragment(type, ['__typename', ...members].join(' '));
    const isDeeper = composites.length > 0 && depth < MAX_DEPTH && random.chance(leaves.length > 0 ? 0.6 : 1);
    if (isDeeper) return this.#maybeFragment(type, this.#path(random.weighted(composites, weightOf), depth));
    if (leaves.length === 0) return '__typename';
    const selection = random.chance(0.2)
      ? leaves.map((leaf) => `${leaf.name}${this.#argumentsOf(leaf)}`).join(' ')
      : this.#path(random.weighted(leaves, weightOf), depth);
    return this.#maybeFragment(type, selection);
  }

  #members(type: GraphQLCompositeType, below: (member: GraphQLCompositeType) => string): string[] {
    if (!isAbstractType(type)) return [];
    const members = this.#random.sample(schema.getPossibleTypes(type), this.#random.pick([3, 10]));
    return members.map((member) => `... on ${member.name} { ${below(member)} }`);
  }

  #repeat(name: string, rest: string, probability: number): string {
    if (this.#repetitions === 0 || !this.#random.chance(probability)) return `${name}${rest}`;
    this.#repetitions--;
    const { tokens, characters, fields } = this.#most;
    const hasAliases = this.#random.chance(0.65);
    const most = Math.min(
      (tokens - 60) / ((hasAliases ? 3 : 1) + tokensOf(rest)),
      characters / ((hasAliases ? 20 : name.length + 1) + rest.length),
      fields / (1 + this.#countFields(rest)),
    );
    const times = Math.min(this.#random.pick(REPEATED), Math.max(1, Math.floor(most)));
    return Array.from({ length: times }, (_, at) => `${hasAliases ? `${name}_${at}: ` : ''}${name}${rest}`).join(' ');
  }

  /** Estimates how many fields a selection expands to, including the fields of the fragments that it spreads. */
  #countFields(text: string): number {
    const names = text.match(/\.\.\.F\d+|\b[a-z_]\w*(?![\w:])/gi) ?? [];
    return names.reduce((sum, name) => sum + (this.#sizes.get(name) ?? 1), 0);
  }

  /** Returns the selection unchanged, or as a fragment that is spread once or more often. */
  #maybeFragment(type: GraphQLCompositeType, selection: string): string {
    if (!this.#random.chance(0.15)) return selection;
    const name = `F${this.#fragments.length}`;
    this.#sizes.set(`...${name}`, this.#countFields(selection));
    this.#fragments.push(`fragment ${name} on ${type.name} { ${selection} }`);
    return `...${name} `.repeat(this.#random.pick([1, 1, 2, 50]));
  }

  #argumentsOf(field: Field): string {
    const random = this.#random;
    const chosenArguments = field.args.filter(
      (argument) => isRequiredArgument(argument) || isGiven(random, argument.name),
    );
    const list = chosenArguments.map((argument) => {
      const type = argument.type;
      const isTypeName = argument.name === 'name' && field.name === '__type';
      const value = isTypeName ? random.pick(typeNames) : inputValue(random, type, argument.name, this.#hostile);
      const mayBeLiteral = this.#random.chance(0.3) && JSON.stringify(value).length < MAX_LITERAL;
      const literal = mayBeLiteral ? valueToLiteral(value, type) : undefined;
      if (literal) return `${argument.name}: ${print(literal)}`;
      const variable = `v${this.#definitions.length}`;
      this.#definitions.push(`$${variable}: ${type}`);
      this.#values[variable] = random.chance(4 * this.#hostile) ? strangeValue(random) : value;
      return `${argument.name}: $${variable}`;
    });
    return list.length > 0 ? `(${list.join(', ')})` : '';
  }

  #directive(): string {
    if (!this.#random.chance(0.03)) return '';
    const one = ` @${this.#random.pick(['include', 'skip'])}(if: ${this.#random.chance(0.5)})`;
    return this.#random.chance(2 * this.#hostile) ? one.repeat(this.#random.pick([2, 200])) : one;
  }
}

/** Returns the fields of a type; for the query type, the introspection fields too. */
function fieldsOf(type: GraphQLCompositeType): Field[] {
  if (!('getFields' in type)) return [];
  const meta = type === schema.getQueryType() ? [SchemaMetaFieldDef, TypeMetaFieldDef] : [];
  return [...Object.values(type.getFields()), ...meta];
}

/**
 * The weight of a field in random choices: fields that take arguments, are lists or contain text cost more and are
 * chosen more often.
 */
const weightOf = ({ args, type }: Field): number =>
  1 + args.length + (isListType(getNullableType(type)) ? 2 : 0) + (/String|JSON/.test(getNamedType(type).name) ? 2 : 0);

const tokensOf = (text: string) => text.match(/[\w.]+|[^\s\w]/g)?.length ?? 0;

/** Changes that make a valid document invalid, or as large as the parser accepts. */
const MUTATIONS: readonly ((query: string, random: Random) => string)[] = [
  (query, random) => query.slice(0, random.below(query.length)),
  (query, random) => query.replace(/\b[a-z]\w+(?= *[({])/, () => 'x'.repeat(random.pick([1, 200, 60_000]))),
  (query, random) =>
    `${query} #${hostileText(random)
      .replaceAll(/[\r\n]/g, ' ')
      .slice(0, 60_000)}`,
  (query, random) => query.replace(/: \$v\d+/, () => `: ${JSON.stringify(hostileText(random).slice(0, 60_000))}`),
  (query, random) => query.replace(/\$v\d+/, () => `$${'v'.repeat(random.pick([1, 100, 60_000]))}`),
  (_query, random) => `${'{a'.repeat(random.pick([10, 500, 5_000]))}${'}'.repeat(500)}`,
  (_query, random) => `{ viewer(a: ${'['.repeat(random.pick([10, 900, 5_000]))}`,
  (query) => `${query} fragment A on Query { ...B } fragment B on Query { ...A } { ...A }`,
  (query, random) => query.repeat(random.pick([2, 20])),
  (query) => query.replace('{', `{ ${Array.from({ length: 300 }, (_, at) => `a: a${at}`).join(' ')} `),
];

/**
 * Generates a document that is valid against the schema, or sometimes invalid. Most documents select the favored root
 * fields.
 */
export function generateDocument(random: Random, favored?: readonly string[]): FuzzDocument {
  const document = new DocumentWriter(random).write(favored);
  if (!random.chance(0.08)) return document;
  const at = random.below(MUTATIONS.length);
  const query = (MUTATIONS[at] as (typeof MUTATIONS)[number])(document.query, random);
  return { ...document, query, about: `${document.about}, mutation ${at}` };
}
