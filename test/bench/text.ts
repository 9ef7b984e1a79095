import { CHOICES_LEGEND, choicesTable } from './choices.ts';
import { COLUMNS, LEGEND } from './columns.ts';
import type { SplitCriterion } from './criteria.ts';
import { DISTRIBUTION } from './held-out.ts';
import { type BenchReport, SET_NAMES, SET_TITLES } from './report.ts';
import type { TelemetryRow } from './telemetry.ts';

/** Columns of text, the first left, the others right. */
export function textTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((r) => (r[i] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] as number) : cell.padStart(widths[i] as number))).join('  ');
  return rows.map((r) => `${line(r).trimEnd()}\n`).join('');
}

export function terminalText(report: BenchReport): string {
  const parts: string[] = SET_NAMES.map((name) => {
    const set = report.sets[name];
    const about = name === 'heldOut' ? `${DISTRIBUTION.map((l) => `  ${l}`).join('\n')}\n\n` : '';
    const rows = Object.entries(set.rows).map(([variant, a]) => [variant, ...COLUMNS.map((c) => c.of(a))]);
    return `${SET_TITLES[name]}\n${about}${textTable([['', ...COLUMNS.map((c) => c.head)], ...rows])}\n${criteriaText(set.criteria)}`;
  });
  const choices = choicesTable(report);
  if (choices.length > 0) parts.push(`What a choice costs. ${CHOICES_LEGEND}\n${textTable(choices)}`);
  return `${parts.join('\n')}\n${LEGEND.join('\n')}\n\n${costLines(report).join('\n')}\n\n${textTable(telemetryTable(report.telemetry))}\nseed ${report.seed}${report.quick ? ', --quick' : ''}, ${report.seconds.toFixed(0)} s; again with --seed ${report.seed}\n`;
}

function criteriaText(lines: readonly SplitCriterion[]): string {
  if (lines.length === 0) return '';
  const rows = lines.map((c) => [`${c.pass ? 'pass' : 'FAIL'}  ${c.row}: ${c.text}`, c.value, c.limit, `N ${c.n}`, `steady ${c.steady}`]);
  const passed = lines.filter((c) => c.pass).length;
  return `Must reach: ${passed} of ${lines.length}\n${textTable(rows)}`;
}

export const costLines = ({ cost }: Pick<BenchReport, 'cost'>): readonly string[] => {
  const { controller, decisionMicrosMedian, decisionMicrosP99, simulationMillis, planMillis, many } = cost;
  return [
    `One decision of ${controller}: ${decisionMicrosMedian.toFixed(1)} µs (median), ${decisionMicrosP99.toFixed(0)} µs (99th percentile).`,
    `One simulated migration: ${simulationMillis.toFixed(1)} ms; one plan of the clairvoyant planner: ${planMillis.toFixed(0)} ms (medians).`,
    `${many.migrations} migrations at once in one process: ${many.seconds.toFixed(1)} s for ${many.decisions} decisions, ${many.heapMebibytes} MiB of heap.`,
  ];
};

/** What being watched costs, head first. */
export const telemetryTable = (rows: readonly TelemetryRow[]): readonly (readonly string[])[] => [
  [
    'migrations at once',
    'metrics CPU ms each',
    'recorder CPU ms each',
    'of its length',
    'heap KiB each',
    'scrape ms',
    'scrape KiB',
    'longest turn ms',
  ],
  ...rows.map((r) => [
    String(r.migrations),
    r.metricsCpuMillisPerMigration.toFixed(1),
    r.recorderCpuMillisPerMigration.toFixed(1),
    `${(100 * r.cpuRatioPerMigration).toFixed(3)} %`,
    r.heapKibibytesPerMigration.toFixed(0),
    r.scrapeMillis.toFixed(1),
    r.scrapeKibibytes.toFixed(0),
    r.scrapeLongestTurnMillis.toFixed(1),
  ]),
];
