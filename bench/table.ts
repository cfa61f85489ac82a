import { judge, type Row } from './targets.ts';

type Column = readonly [heading: string, cell: (row: Row) => string];

const figure =
  (name: string, digits = 0) =>
  ({ figures }: Row) => {
    const value = figures[name];
    return value === undefined ? '' : value.toFixed(digits);
  };

const LOAD: readonly Column[] = [
  ['clusters', ({ clusters }) => String(clusters)],
  ['what', ({ what }) => what],
  ['per s', figure('rate')],
  ['bare', figure('bareRate')],
  ['ratio', ({ figures }) => percent(figures.ratio)],
  ['p50 ms', figure('p50', 2)],
  ['p99 ms', figure('p99', 2)],
  ['bare p99', figure('bareP99', 2)],
  ['CPU µs', figure('cpu')],
  ['bare', figure('bareCpu')],
  ['target', verdicts],
];

const OTHER: readonly Column[] = [
  ['clusters', ({ clusters }) => String(clusters)],
  ['what', ({ what }) => what],
  ['ms', figure('ms', 1)],
  ['MB', figure('MB')],
  ['%', figure('percent', 1)],
  ['target', verdicts],
];

/** Prints the measurements, their targets and whether each target was reached. */
export function printTables(rows: readonly Row[]): void {
  printTable(
    LOAD,
    rows.filter(({ figures }) => 'rate' in figures),
  );
  printTable(
    OTHER,
    rows.filter(({ figures }) => !('rate' in figures)),
  );
  const verdict = rows.flatMap(judge);
  console.log(`${verdict.filter(({ reached }) => reached).length} of ${verdict.length} targets reached`);
}

function printTable(columns: readonly Column[], rows: readonly Row[]): void {
  if (rows.length === 0) return;
  const lines = [columns.map(([heading]) => heading), ...rows.map((row) => columns.map(([, cell]) => cell(row)))];
  printLines(lines, (at) => at === 1 || at === columns.length - 1);
}

/** Prints a table. Text columns are aligned left, other columns right. */
export function printLines(lines: readonly (readonly string[])[], isText: (column: number) => boolean): void {
  const widths = (lines[0] ?? []).map((_cell, at) => Math.max(...lines.map((line) => line[at]?.length ?? 0)));
  for (const line of lines)
    console.log(
      line
        .map((cell, at) => (isText(at) ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
        .join('  ')
        .trimEnd(),
    );
  console.log();
}

const TITLES: Readonly<Record<string, string>> = {
  ratio: 'of bare',
  p99Ratio: '× bare p99',
  timesFresh: '× not cached',
  p50: 'ms p50',
};

function verdicts(row: Row): string {
  return judge(row)
    .map(({ figure: name, value, atLeast, atMost, reached }) => {
      const show = (number: number) => (name === 'ratio' ? percent(number) : number.toFixed(number < 20 ? 1 : 0));
      const limit = Number.isFinite(atLeast) ? `≥ ${show(atLeast)}` : `≤ ${show(atMost)}`;
      return `${limit} ${TITLES[name] ?? name}: ${reached ? 'yes' : 'NO'} (${show(value)})`;
    })
    .join(', ');
}

function percent(share: number | undefined): string {
  return share === undefined ? '' : `${Math.round(share * 100)} %`;
}
