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

/** Shares of the values that are hostile, and of optional values that are given. */
const HOSTILE = 0.03;
const GIVEN = 0.45;

const SCALARS: Readonly<Record<string, (random: Random, name: string) => unknown>> = {
  Boolean: (random) => random.chance(0.5),
  Float: (random) => random.pick(INTEGERS),
  Int: (random, name) => {
    if (/^(first|last)$/.test(name)) return pageLength(random);
    return random.chance(0.7) ? 1 + random.below(20) : random.pick(INTEGERS);
  },
  ID: (random) => (random.chance(0.9) ? globalIdOf(random.below(2_000)) : hostileText(random)),
  DateTime: (random) => random.pick(['2026-07-01T00:00:00Z', '2999-01-01T00:00:00Z', '0000-01-01T00:00:00Z', '']),
  String: (random, name) => (TEXTS[name] ?? TEXTS[name.replace(/^.*\./, '')] ?? (() => random.pick(['', 'a'])))(random),
};

/** A value of an input type, mostly valid, in which texts and numbers are near the limits for what bears this name. */
export function inputValue(random: Random, type: GraphQLInputType, name: string): unknown {
  if (random.chance(HOSTILE)) return random.chance(0.5) ? null : hostileText(random);
  const named = getNullableType(type);
  if (isListType(named))
    return Array.from({ length: listLength(random) }, () => inputValue(random, named.ofType, name));
  if (isEnumType(named)) return random.pick(named.getValues()).name;
  if (!isInputObjectType(named)) return (SCALARS[named.name] ?? hostileText)(random, name);
  const fields = Object.values(named.getFields());
  const given = named.isOneOf
    ? random.sample(fields, random.chance(0.03) ? 2 : 1)
    : fields.filter((field) => isNonNullType(field.type) || random.chance(GIVEN));
  return Object.fromEntries(
    given.map((field) => [field.name, inputValue(random, field.type, `${named.name}.${field.name}`)]),
  );
}
