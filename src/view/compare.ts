import { capToXen } from '../core/cap.ts';
import type { MigrationRecord, SummaryRecord } from '../core/record.ts';
import { showBytes, showCount, showMs, showSeconds, showXenCap } from './human.ts';
import { columnsOf, filled, safeText } from './text.ts';
import { outcomeWords, showTarget } from './words.ts';

/** One column of the comparison: a migration's records, and facts that only the caller knows (what the guest itself measured). */
export interface Compared {
  readonly title: string;
  readonly records: readonly MigrationRecord[];
  readonly facts?: Readonly<Record<string, string>>;
}

interface Round {
  readonly pagesToSend: number;
  capMin: number | undefined;
}

/** Pages to send and lowest cap of each round; the last entry is what was sent after the suspension. */
function roundsOf(records: readonly MigrationRecord[]): readonly Round[] {
  const rounds: Round[] = [];
  let cap: number | undefined;
  for (const record of records) {
    if (record.type !== 'observation') continue;
    const { observation } = record;
    if (observation.type === 'round-start') rounds.push({ pagesToSend: observation.pagesToSend, capMin: cap });
    if (observation.type !== 'cap-changed') continue;
    const xen = capToXen(observation.cap);
    cap = xen === 0 ? undefined : xen;
    const round = rounds.at(-1);
    if (round !== undefined && cap !== undefined) round.capMin = Math.min(round.capMin ?? cap, cap);
  }
  return rounds;
}

const summaryOf = (records: readonly MigrationRecord[]): SummaryRecord | undefined =>
  records.findLast((record): record is SummaryRecord => record.type === 'summary');

/** Migrations side by side as lines of plain text: a row a round, then how it ended. */
export function compare(columns: readonly Compared[]): readonly string[] {
  const rounds = columns.map((column) => roundsOf(column.records));
  const summaries = columns.map((column) => summaryOf(column.records));
  const rows: (readonly string[])[] = [['', ...columns.map((column) => safeText(column.title))]];
  const most = Math.max(0, ...rounds.map((list) => list.length));
  for (let i = 0; i < most; i++) {
    rows.push([
      `round ${i}`,
      ...rounds.map((list) => {
        const round = list[i];
        if (round === undefined) return '';
        const cap = round.capMin === undefined ? '' : `, cap ${showXenCap(round.capMin)}`;
        return i === 0 ? `all memory${cap}` : `${showCount(round.pagesToSend)} pages${cap}`;
      }),
    ]);
  }
  const row = (label: string, text: (summary: SummaryRecord) => string): void => {
    rows.push([label, ...summaries.map((summary) => (summary === undefined ? '' : text(summary)))]);
  };
  row('sent after the suspend', (s) => (s.lastDirtyPages === null ? 'never suspended' : `${showCount(s.lastDirtyPages)} pages`));
  row('target', showTarget);
  row('downtime, predicted', (s) => showMs(s.predictedDowntimeMs));
  row('downtime, observed', (s) => (s.observedDowntimeMs === null ? 'none' : showMs(s.observedDowntimeMs)));
  row('guest gap, at most', (s) => (s.guestGapBoundMs === null ? '-' : showMs(s.guestGapBoundMs)));
  for (const label of new Set(columns.flatMap((column) => Object.keys(column.facts ?? {})))) {
    rows.push([label, ...columns.map((column) => column.facts?.[label] ?? '')]);
  }
  row('longest stall by cap', (s) => (s.stallMaxMs === 0 ? 'none' : showMs(s.stallMaxMs)));
  row('lost work', (s) => `${showSeconds(s.lostWorkSeconds)} of CPU time`);
  row('time', (s) => showSeconds(s.totalSeconds));
  row('sent', (s) => showBytes(s.bytesSent));
  row('cap before, after', (s) => `${showXenCap(s.capBefore)}, ${showXenCap(s.capAfter)}`);
  row('outcome', (s) => outcomeWords(s));
  return aligned(rows);
}

/** Cells in columns, each as wide as its widest. */
export function aligned(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((cells) => columnsOf(cells[i] ?? ''))));
  return rows.map((cells) =>
    cells
      .map((cell, i) => filled(cell, widths[i] ?? 0))
      .join('   ')
      .trimEnd(),
  );
}
