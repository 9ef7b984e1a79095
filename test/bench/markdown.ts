import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { XthrottleError } from '../../src/core/index.ts';
import { CHOICES_LEGEND, choicesTable } from './choices.ts';
import { COLUMNS, LEGEND } from './columns.ts';
import { DISTRIBUTION } from './held-out.ts';
import { type BenchReport, SET_NAMES, SET_TITLES } from './report.ts';
import { costLines, telemetryTable } from './text.ts';

export const BEGIN = '<!-- bench: begin -->';
export const END = '<!-- bench: end -->';

const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [row(head), row(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(row)].join('\n');

export function markdownSection(report: BenchReport): string {
  const sets = SET_NAMES.flatMap((name) => {
    const set = report.sets[name];
    const about = name === 'heldOut' ? ['Drawn from:', '', '```', ...DISTRIBUTION, '```', ''] : [];
    const rows = Object.entries(set.rows).map(([variant, a]) => [variant, ...COLUMNS.map((c) => c.of(a))]);
    const lines = set.criteria.map((c) => [`${c.row}: ${c.text}`, c.value, c.limit, String(c.n), c.pass ? 'pass' : '**fail**', c.steady]);
    const must = lines.length === 0 ? [] : ['', 'Must reach:', '', table(['', 'value', 'limit', 'N', '', 'steady (N)'], lines)];
    return [`### ${SET_TITLES[name]}`, '', ...about, table(['', ...COLUMNS.map((c) => c.head)], rows), ...must, ''];
  });
  const [head = [], ...watched] = telemetryTable(report.telemetry);
  const how = `Made by \`npm run bench -- --seed ${report.seed}${report.quick ? ' --quick' : ''} --markdown RESULTS.md\`.`;
  return [
    `## Simulated host`,
    '',
    how,
    '',
    ...LEGEND.flatMap((l) => [l, '']),
    ...sets,
    ...choicesSection(report),
    '### Cost',
    '',
    ...costLines(report).map((l) => `- ${l}`),
    '',
    table(head, watched),
  ].join('\n');
}

function choicesSection(report: BenchReport): readonly string[] {
  const [head, ...rows] = choicesTable(report);
  return head === undefined ? [] : ['### What a choice costs', '', CHOICES_LEGEND, '', table(head, rows), ''];
}

/** The text with the section between the markers replaced; appended with its markers when there are none. */
export function withSection(text: string, section: string): string {
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  const marked = `${BEGIN}\n${section}\n${END}`;
  if (begin === -1 && end === -1)
    return `${text === '' ? '# Results\n' : text.trimEnd()}\n\n${marked}\n`.replace(/^# Results\n\n\n/, '# Results\n\n');
  if (begin === -1 || end < begin)
    throw new XthrottleError('usage', `expected ${BEGIN} and then ${END}, got only one of them or the wrong order`);
  return text.slice(0, begin) + marked + text.slice(end + END.length);
}

export function intoMarkdown(file: string, report: BenchReport): void {
  writeFileSync(file, withSection(existsSync(file) ? readFileSync(file, 'utf8') : '', markdownSection(report)));
}
