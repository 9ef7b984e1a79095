import type { ProbeFindings } from '../core/probe.ts';
import type { Rehearsal } from '../core/rehearsal.ts';
import type { BytesPerSecond } from '../core/units.ts';
import { aligned } from './compare.ts';
import { showBytes, showCount, showMs, showPageRate, showPagesBytes, showRange, showXenCap } from './human.ts';
import { safeText, wrap } from './text.ts';

/** A probe and what would become of a migration, for people. */
export interface ProbeReport {
  readonly domain: string;
  readonly findings: ProbeFindings;
  readonly looks: number;
  /** Share of the time that the looks took; absent in the simulated host. */
  readonly lookShare?: number;
  readonly rate: BytesPerSecond;
  /** The rate was not asked for. */
  readonly rateAssumed: boolean;
  readonly targetMs: number;
  readonly controller: string;
  readonly stock: Rehearsal;
  readonly ours: Rehearsal;
  /** What to bear in mind. */
  readonly notes: readonly string[];
}

const COLUMNS = 110;
/** More rounds than this are not listed one by one. */
const ROUNDS_SHOWN = 12;

/** The report as plain lines. */
export function probeLines(report: ProbeReport): readonly string[] {
  return [...curveLines(report), '', ...migrationLines(report), ...noteLines(report.notes)];
}

function curveLines({ domain, findings, looks, lookShare }: ProbeReport): readonly string[] {
  const { rows, durationMs, workingSet, dirtyRate, demandPercent } = findings;
  const paused = lookShare === undefined ? '' : `, ${(100 * lookShare).toFixed(1)} % of the time`;
  const table = aligned([
    ['  work', 'dirty pages', '', 'new pages there'],
    ...rows.map((row) => [`  ${showMs(row.workMs)}`, showCount(row.pages), showPagesBytes(row.pages), showPageRate(row.newPagesPerSecond)]),
  ]);
  const levelled = workingSet.levelledOff
    ? `${showCount(workingSet.pages)} pages (${showPagesBytes(workingSet.pages)}): the curve has levelled off`
    : `at least ${showCount(workingSet.pages)} pages (${showPagesBytes(workingSet.pages)}): still growing, a longer --duration shows more`;
  return [
    `${safeText(domain)}: unique pages dirtied by so much full-speed work, seen for ${showMs(durationMs)} (${looks} looks${paused})`,
    '',
    ...table,
    '',
    ...aligned([
      ['  writable working set', levelled],
      ['  dirty rate', `${showPageRate(dirtyRate)} in the first second`],
      ['  CPU', demandPercent === undefined ? '-' : `${showCount(demandPercent)} % of one pCPU`],
    ]),
  ];
}

function migrationLines({ rate, rateAssumed, targetMs, controller, stock, ours }: ProbeReport): readonly string[] {
  const both = (label: string, of: (rehearsal: Rehearsal) => string): readonly string[] => [`  ${label}`, of(stock), of(ours)];
  const count = Math.max(stock.rounds.length, ours.rounds.length);
  const shown = Math.min(ROUNDS_SHOWN, count);
  const rounds = Array.from({ length: shown }, (_, i) => both(`round ${i}`, (r) => roundOf(r, i)));
  const assumed = rateAssumed ? ' (assumed: --bandwidth says what the stream gets)' : '';
  const table = aligned([
    ['', 'stock Xen', `xthrottle (${safeText(controller)})`],
    ...rounds,
    ...(count > shown ? [[`  … ${count - shown} more`, '', '']] : []),
    both('dirty at the suspend', (r) => (r.outcome === 'migrates' ? `${showCount(r.lastPages)} pages` : 'never suspended')),
    both('downtime', (r) => (r.outcome === 'migrates' ? showRange(r.downtimeMs) : '-')),
    both('lowest cap', (r) => showXenCap(r.capPercentMin)),
    both('longest stall by cap', (r) => (r.stallMaxMs === 0 ? 'none' : showMs(r.stallMaxMs))),
    both('lost work', (r) => `${showMs(r.lostCpuMs)} of CPU time`),
    both('time', (r) => showMs(r.totalMs)),
    both('sent', (r) => showBytes(r.bytesSent)),
    both('target met', (r) => (r.feasible ? 'yes' : 'no')),
  ]);
  const why = ours.feasible ? [] : ['', ...wrap(`Why not: ${safeText(ours.reason)}`, COLUMNS)];
  return [
    `A migration at ${showBytes(rate)}/s${assumed}, target downtime ${showMs(targetMs)}, as it would go on this curve:`,
    '',
    ...table,
    ...why,
  ];
}

function roundOf({ rounds }: Rehearsal, i: number): string {
  const round = rounds[i];
  if (round === undefined) return '';
  const cap = round.capPercentMin === 0 ? '' : `, cap ${showXenCap(round.capPercentMin)}`;
  return `${i === 0 ? 'all memory' : `${showCount(round.pagesToSend)} pages`}, ${showMs(round.timeMs)}${cap}`;
}

const noteLines = (notes: readonly string[]): readonly string[] =>
  notes.length === 0
    ? []
    : ['', ...notes.flatMap((note) => wrap(safeText(note), COLUMNS - 2).map((line, i) => (i === 0 ? `- ${line}` : `  ${line}`)))];
