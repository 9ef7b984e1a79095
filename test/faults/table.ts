import { FAULT_KINDS, type FaultKind } from './faults.ts';
import type { Outcome, RunReport } from './run.ts';
import type { StockOutcome } from './stock.ts';

export interface Row {
  readonly fault: FaultKind;
  /** Runs in which it struck, and how often. */
  runs: number;
  fired: number;
  readonly outcomes: Record<Outcome, number>;
  failOpen: number;
  /** A cap of ours outlasted its migration: said, and put back by the guard or the next start. */
  capLost: number;
  guestLost: number;
  violations: number;
  readonly stock: Record<StockOutcome, number>;
}

const emptyRow = (fault: FaultKind): Row => ({
  fault,
  runs: 0,
  fired: 0,
  outcomes: { met: 0, missed: 0, aborted: 0, failed: 0, released: 0, 'no verdict': 0 },
  failOpen: 0,
  capLost: 0,
  guestLost: 0,
  violations: 0,
  stock: { met: 0, missed: 0, failed: 0, 'left standing': 0 },
});

/** Counts by fault; a run with several counts for each that struck. */
export class Table {
  readonly rows = new Map<FaultKind, Row>(FAULT_KINDS.map((kind) => [kind, emptyRow(kind)]));
  runs = 0;
  violated = 0;
  next = 0;

  add(report: RunReport, stock: StockOutcome | undefined): void {
    this.runs++;
    if (report.violations.length > 0) this.violated++;
    if (report.next !== undefined) this.next++;
    const struck = new Map<FaultKind, number>();
    for (const { kind, fired } of report.faults) if (fired > 0) struck.set(kind, (struck.get(kind) ?? 0) + fired);
    for (const [kind, fired] of struck) {
      const row = this.rows.get(kind) as Row;
      row.runs++;
      row.fired += fired;
      row.outcomes[report.outcome]++;
      if (report.failOpen) row.failOpen++;
      if (report.capLost) row.capLost++;
      if (report.guestLost) row.guestLost++;
      row.violations += report.violations.length;
      if (stock !== undefined) row.stock[stock]++;
    }
  }
}

const COLUMNS: readonly (readonly [string, (row: Row) => string | number])[] = [
  ['fault', (r) => r.fault],
  ['runs', (r) => r.runs],
  ['fired', (r) => r.fired],
  ['met', (r) => r.outcomes.met],
  ['missed', (r) => r.outcomes.missed],
  ['aborted', (r) => r.outcomes.aborted],
  ['failed', (r) => r.outcomes.failed],
  ['let go', (r) => r.outcomes.released],
  ['killed', (r) => r.outcomes['no verdict']],
  ['fail-open', (r) => r.failOpen],
  ['cap late', (r) => r.capLost],
  ['guest stands', (r) => r.guestLost],
  ['violations', (r) => r.violations],
  ['stock: met', (r) => r.stock.met],
  ['missed', (r) => r.stock.missed],
  ['failed', (r) => r.stock.failed],
  ['stands', (r) => r.stock['left standing']],
];

const cells = (table: Table): readonly (readonly string[])[] => [
  COLUMNS.map(([name]) => name),
  ...[...table.rows.values()].map((row) => COLUMNS.map(([, read]) => String(read(row)))),
];

export function asText(table: Table): string {
  const all = cells(table);
  const widths = COLUMNS.map((_, i) => Math.max(...all.map((row) => (row[i] ?? '').length)));
  return all
    .map((row) => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '))
    .join('\n');
}

export function asMarkdown(table: Table): string {
  const [head = [], ...rows] = cells(table);
  const line = (row: readonly string[]) => `| ${row.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '--:'))), ...rows.map(line)].join('\n');
}
