import { globSync, readFileSync } from 'node:fs';

/**
 * Checks the project's language (docs/writing.md): the share of comments and GraphQL descriptions that match the measure
 * is at most 0.5 %, and no name or phrase from the glossary's left column appears. Prints the files with the most matches.
 */
const MEASURE =
  /\b(whoever|whatever|what (is|was|it|they|somebody|one|an?|the|others?)|those (who|that|of|beside)|who (asks|is|may|has|holds|takes|sees|comes|signs)|whose|one who|nobody|somebody|anybody)\b/i;
const MAX_SHARE = 0.005;
const MIN_LENGTH = 10;
const WORST_FILES = 10;

/** Names that the glossary replaces, as whole identifiers. */
const OLD_NAMES =
  /\b(askAgain|presently|admitStill|authorizeEverywhere|findAllowed|mayReadClusters|mayEverywhere|signedIn|KeptAnswers|questionOf|News|Turns|Lanes|startChores|Asker|LiveCluster|Reachable|Ways?|readGiven|tryGiven|untried|untriedState|sealAnew|goBeyond|wentBack|passGivenKeyIds|PrometheusOffers|restOf|strangerLimit|makePerson|personWith|AUDITED|AnswerSize|OVER_BUDGET|OVER_BODY_BUDGET|OVER_SHARE|OVER_MEMORY|CUT_BODY|holdAnswer|probeOver|leasesOver|adapterOver|providerFault|makeSecret|makeCode|makeDirectory|makeAuthority|makeFleet|newPerson|readKubeconfigAside|isReadAside|isOfCaller|carriesObject|judgeHost|judgeAddress|CountWork|introspectionsIn|closedFieldsOf|askExample|itOfFile|describeFile|surfaceOf|[pP]retence|NO_CURSOR)\b/;

const GENERATED = /generated/;
const sources = globSync([
  'src/**/*.{ts,js}',
  'test/**/*.ts',
  'bench/**/*.ts',
  'demo/**/*.ts',
  'examples/**/*.ts',
]).filter((file) => !GENERATED.test(file));

/** Block comments, and each run of lines that begin with `//` as one comment. */
function commentsOf(text: string): string[] {
  const blocks = Array.from(text.matchAll(/\/\*[\s\S]*?\*\//g), ([comment]) => comment);
  const runs = Array.from(text.matchAll(/(?:^[ \t]*\/\/.*\n?)+/gm), ([run]) => run.replaceAll(/^[ \t]*\/\/ ?/gm, ''));
  return [...blocks, ...runs].filter((comment) => comment.length > MIN_LENGTH);
}

function descriptionsOf(schema: string): string[] {
  return Array.from(schema.matchAll(/"""\s*([\s\S]*?)\s*"""/g), ([, text = '']) => text).filter(
    (text) => text.length > MIN_LENGTH,
  );
}

const files = sources.map((file) => {
  const text = readFileSync(file, 'utf8');
  const comments = commentsOf(text);
  return { file, total: comments.length, matches: comments.filter((comment) => MEASURE.test(comment)), text };
});
const descriptions = descriptionsOf(readFileSync('schema.graphql', 'utf8'));
const parts = [
  ...files,
  {
    file: 'schema.graphql',
    total: descriptions.length,
    matches: descriptions.filter((text) => MEASURE.test(text)),
    text: '',
  },
];

const total = parts.reduce((sum, part) => sum + part.total, 0);
const matched = parts.reduce((sum, part) => sum + part.matches.length, 0);
const share = matched / total;
console.log(`${matched} of ${total} comments and descriptions match the measure: ${(share * 100).toFixed(1)} %`);
const worst = parts.filter(({ matches }) => matches.length > 0).sort((a, b) => b.matches.length - a.matches.length);
for (const { file, matches } of worst.slice(0, WORST_FILES)) console.log(`  ${matches.length} in ${file}`);

const oldNames = files.flatMap(({ file, text }) =>
  text.split('\n').flatMap((line, index) => {
    const [name] = OLD_NAMES.exec(line) ?? [];
    return name === undefined ? [] : [`${file}:${index + 1}: ${name}`];
  }),
);
for (const place of oldNames) console.log(`  ${place} is a name that docs/writing.md replaces`);

if (share > MAX_SHARE || oldNames.length > 0) {
  console.error('The language check failed: see docs/writing.md.');
  process.exit(1);
}
