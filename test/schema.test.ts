// A change that breaks clients fails here unless it is meant. "Before" is `schema.graphql` of the last release (the newest
// tag `v*` that is an ancestor), or of HEAD while there is none. To mean a break, put the message that this test prints,
// word for word, into test/intended-breaking-changes.json; after the release that has it, take it out again.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CriticalityLevel, diff } from '@graphql-inspector/core';
import {
  buildSchema,
  type DocumentNode,
  type GraphQLSchema,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isIntrospectionType,
  isObjectType,
  isSpecifiedScalarType,
  validate,
} from 'graphql';
import { describe, expect, it } from 'vitest';
import { printedSchema, schema } from '../src/graphql/schema.ts';
import * as operations from '../src/rest/operations.generated.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const intended: string[] = JSON.parse(readFileSync(`${root}/test/intended-breaking-changes.json`, 'utf8'));

async function breaking(before: GraphQLSchema, after: GraphQLSchema): Promise<string[]> {
  const changes = await diff(before, after);
  return changes
    .filter(({ criticality }) => criticality.level === CriticalityLevel.Breaking)
    .map(({ message }) => message);
}

function git(...args: string[]): string | undefined {
  try {
    return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return undefined;
  }
}

describe('schema.graphql', () => {
  it('is what the code prints; else run npm run codegen', () => {
    expect(readFileSync(`${root}/schema.graphql`, 'utf8') === printedSchema()).toBe(true);
  });

  it('is a schema by itself', () => {
    expect(Object.keys(buildSchema(printedSchema()).getTypeMap()).sort()).toEqual(
      Object.keys(schema.getTypeMap()).sort(),
    );
  });
});

describe('operations.generated.ts', () => {
  it('is what codegen writes; else run npm run codegen', () => {
    const { status, stderr } = spawnSync(process.execPath, ['codegen.ts', '--check'], { cwd: root, encoding: 'utf8' });
    expect([status, stderr.match(/stale: .*/)?.[0]]).toEqual([0, undefined]);
  });

  it('holds documents that are valid', () => {
    const documents = Object.entries(operations as Record<string, unknown>).filter(([name]) =>
      name.endsWith('Document'),
    );
    expect(documents.length).toBeGreaterThanOrEqual(5);
    for (const [name, document] of documents)
      expect([name, validate(schema, document as DocumentNode)]).toEqual([name, []]);
  });
});

describe('descriptions', () => {
  it('stand on every type, field, argument, input field and enum value', () => {
    const bare: string[] = [];
    const see = (at: string, { description }: { description?: string | null | undefined }) => {
      if (!description?.trim()) bare.push(at);
    };
    for (const type of Object.values(schema.getTypeMap())) {
      if (isIntrospectionType(type) || isSpecifiedScalarType(type)) continue;
      see(type.name, type);
      if (isEnumType(type)) for (const value of type.getValues()) see(`${type.name}.${value.name}`, value);
      if (isInputObjectType(type))
        for (const field of Object.values(type.getFields())) see(`${type.name}.${field.name}`, field);
      if (isObjectType(type) || isInterfaceType(type))
        for (const field of Object.values(type.getFields())) {
          see(`${type.name}.${field.name}`, field);
          for (const arg of field.args) see(`${type.name}.${field.name}(${arg.name})`, arg);
        }
    }
    expect(bare).toEqual([]);
  });
});

describe('a breaking change', () => {
  it('is found', async () => {
    const before = buildSchema('type Query { a: Int b(c: Int): Int } enum E { X Y } input I { a: Int }');
    const after = buildSchema('type Query { b(c: Int!): Int } enum E { X } input I { a: Int b: Int! }');
    expect(await breaking(before, after)).toHaveLength(4);
    expect(await breaking(before, before)).toEqual([]);
  });

  const release = git('describe', '--tags', '--abbrev=0', '--match', 'v*')?.trim() ?? 'HEAD';
  const before = git('show', `${release}:schema.graphql`);

  // An archive of the sources has no history to compare with.
  it.runIf(before !== undefined)('that nobody meant has not been made since the last release', async () => {
    const made = await breaking(buildSchema(before ?? ''), schema);
    expect(made.filter((message) => !intended.includes(message))).toEqual([]);
  });

  it('that is meant is listed once', () => {
    expect(new Set(intended).size).toBe(intended.length);
  });
});
