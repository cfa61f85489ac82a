// `npm run codegen` writes schema.graphql and generates the types of the GraphQL documents of REST and of the example.
// With --check, writes nothing and fails if a file is stale.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { generate } from '@graphql-codegen/cli';
import { printedSchema } from './src/graphql/schema.ts';

const check = process.argv.includes('--check');
const stale: string[] = [];

function writeOrCheck(file: string, content: string): void {
  if (existsSync(file) && readFileSync(file, 'utf8') === content) return;
  if (check) stale.push(file);
  else writeFileSync(file, content);
}

const schema = printedSchema();
writeOrCheck('schema.graphql', schema);

for (const documents of ['src/rest/operations.graphql', 'examples/typed-client/operations.graphql']) {
  const generated = documents.replace('.graphql', '.generated.ts');
  const files = await generate(
    {
      schema,
      documents,
      silent: true,
      generates: {
        [generated]: {
          plugins: ['typescript-operations', 'typed-document-node'],
          config: {
            useTypeImports: true,
            enumsAsTypes: true,
            onlyOperationTypes: true,
            scalars: { ID: 'string', DateTime: 'string' },
          },
        },
      },
    },
    false,
  );
  for (const { filename, content } of files) writeOrCheck(filename, content);
}

if (stale.length > 0) {
  console.error(`stale files: ${stale.join(', ')}: run npm run codegen`);
  process.exit(1);
}
