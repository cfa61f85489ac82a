import {
  type GraphQLInputType,
  getNullableType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
} from 'graphql';
import type { Random } from './random.ts';
import { globalIdOf } from './registry.ts';
import { hostileText, INTEGERS, listLength, pageLength, TEXTS } from './values.ts';

/**
 * The probability that an optional value is set: higher for fields that cause most work, lower for fields that mostly
 * reject their values.
 */
const SHARE = 0.4;
const SHARES: Readonly<Record<string, number>> = {
  ...{ kubeconfig: 0.8, credential: 0.8, labelSelector: 0.7, isDefault: 0.7, first: 0.7, filter: 0.7 },
  ...{
    after: 0.03,
    before: 0.03,
    last: 0.03,
    contexts: 0.05,
    inCluster: 0.05,
    onlyIfEmpty: 0.05,
    expectedRevision: 0.1,
  },
};
const shareOf = ({ name }: { name: string }) => SHARES[name] ?? SHARE;
export const isGiven = (random: Random, name: string): boolean => random.chance(shareOf({ name }));

const SCALARS: Readonly<Record<string, (random: Random, name: string) => unknown>> = {
  Boolean: (random) => random.chance(0.5),
  Float: (random) => random.pick(INTEGERS),
  Int: (random, name) => {
    if (/^(first|last)$/.test(name)) return pageLength(random);
    return random.chance(0.9) ? 1 + random.below(20) : random.pick(INTEGERS);
  },
  ID: (random) => (random.chance(0.95) ? globalIdOf(random.below(2_000)) : hostileText(random)),
  DateTime: (random) => random.pick(['2026-07-01T00:00:00Z', '2999-01-01T00:00:00Z', '0000-01-01T00:00:00Z', '']),
  String: (random, name) => (TEXTS[name] ?? TEXTS[name.replace(/^.*\./, '')] ?? (() => random.pick(['', 'a'])))(random),
};

/**
 * Generates a value of an input type, with texts and numbers near the limits for a field of this name. `hostile` is the
 * share of hostile values.
 */
export function inputValue(random: Random, type: GraphQLInputType, name: string, hostile: number): unknown {
  if (random.chance(hostile)) return random.chance(0.5) ? null : hostileText(random);
  const named = getNullableType(type);
  if (isListType(named))
    return Array.from({ length: listLength(random) }, () => inputValue(random, named.ofType, name, hostile));
  if (isEnumType(named)) return random.pick(named.getValues()).name;
  if (!isInputObjectType(named)) return (SCALARS[named.name] ?? hostileText)(random, name);
  const fields = Object.values(named.getFields());
  const chosenFields = named.isOneOf
    ? [random.weighted(fields, shareOf), ...random.sample(fields, random.chance(hostile) ? 1 : 0)]
    : fields.filter((field) => isNonNullType(field.type) || isGiven(random, field.name));
  return Object.fromEntries(
    chosenFields.map((field) => [field.name, inputValue(random, field.type, `${named.name}.${field.name}`, hostile)]),
  );
}
