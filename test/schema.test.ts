// A change that breaks clients fails here unless it is intended. The baseline is `schema.graphql` of the last release
// (the newest tag `v*` that is an ancestor), or of HEAD if there is none. To allow a breaking change, add the message
// that this test prints, word for word, to test/intended-breaking-changes.json; remove it after the release that
// contains the change.
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
  it('schema.graphql matches the code; if it does not, run npm run codegen', () => {
    expect(readFileSync(`${root}/schema.graphql`, 'utf8') === printedSchema()).toBe(true);
  });

  it('schema.graphql is a valid schema by itself', () => {
    expect(Object.keys(buildSchema(printedSchema()).getTypeMap()).sort()).toEqual(
      Object.keys(schema.getTypeMap()).sort(),
    );
  });
});

describe('operations.generated.ts', () => {
  it("operations.generated.ts matches codegen's output; if it does not, run npm run codegen", () => {
    const { status, stderr } = spawnSync(process.execPath, ['codegen.ts', '--check'], { cwd: root, encoding: 'utf8' });
    expect([status, stderr.match(/stale files: .*/)?.[0]]).toEqual([0, undefined]);
  });

  it('operations.generated.ts contains valid documents', () => {
    const documents = Object.entries(operations as Record<string, unknown>).filter(([name]) =>
      name.endsWith('Document'),
    );
    expect(documents.length).toBeGreaterThanOrEqual(5);
    for (const [name, document] of documents)
      expect([name, validate(schema, document as DocumentNode)]).toEqual([name, []]);
  });
});

describe('descriptions', () => {
  it('every type, field, argument, input field and enum value has a description', () => {
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
  it('a breaking change is detected', async () => {
    const before = buildSchema('type Query { a: Int b(c: Int): Int } enum E { X Y } input I { a: Int }');
    const after = buildSchema('type Query { b(c: Int!): Int } enum E { X } input I { a: Int b: Int! }');
    expect(await breaking(before, after)).toHaveLength(4);
    expect(await breaking(before, before)).toEqual([]);
  });

  const release = git('describe', '--tags', '--abbrev=0', '--match', 'v*')?.trim() ?? 'HEAD';
  const before = git('show', `${release}:schema.graphql`);

  // An archive of the sources has no history to compare with.
  it.runIf(before !== undefined)('no unintended breaking change has been made since the last release', async () => {
    const made = await breaking(buildSchema(before ?? ''), schema);
    expect(made.filter((message) => !intended.includes(message))).toEqual([]);
  });

  it('an intended breaking change is listed once', () => {
    expect(new Set(intended).size).toBe(intended.length);
  });
});
