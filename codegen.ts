// Prints schema.graphql and generates the types of the REST rows' and the example's documents from it: `npm run codegen`.
// With --check nothing is written, and a stale file fails.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { generate } from '@graphql-codegen/cli';
import { printedSchema } from './src/graphql/schema.ts';

const check = process.argv.includes('--check');
const stale: string[] = [];

function settle(file: string, content: string): void {
  if (existsSync(file) && readFileSync(file, 'utf8') === content) return;
  if (check) stale.push(file);
  else writeFileSync(file, content);
}

const schema = printedSchema();
settle('schema.graphql', schema);

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
  for (const { filename, content } of files) settle(filename, content);
}

if (stale.length > 0) {
  console.error(`stale: ${stale.join(', ')}; run npm run codegen`);
  process.exit(1);
}
