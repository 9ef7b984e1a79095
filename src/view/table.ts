import type { MigrationRecord, RecordSink, SummaryRecord } from '../core/record.ts';
import type { LineWriter } from '../trace/line-writer.ts';
import { createColors } from './colors.ts';
import { summaryRows } from './summary.ts';
import { headLines, rowLines, type TableLayout, type Tone } from './table-row.ts';
import { type Followed, follow, tableRows } from './table-rows.ts';
import { clip, columnsOf, filled, safeText, wrap } from './text.ts';

export interface TableOptions extends TableLayout {
  readonly color: boolean;
}

/** Beside its label a text has at least so many columns, else it goes below. */
const TEXT_COLUMNS_MIN = 16;
const INDENT = 2;

/** The summary as a block of `label  text` lines. */
export function summaryLines(summary: SummaryRecord, options: TableOptions): string[] {
  const paint = painter(options.color);
  const rows = summaryRows(summary);
  const columns = options.columns ?? Number.POSITIVE_INFINITY;
  const labels = Math.max(...rows.map(([label]) => columnsOf(label))) + INDENT;
  const beside = columns - labels - INDENT >= TEXT_COLUMNS_MIN;
  const indent = beside ? labels + INDENT : 2 * INDENT;
  const lines = rows.flatMap(([label, text], index) => {
    const [first = '', ...rest] = wrap(text, Math.max(1, columns - indent));
    const alarming = label === 'Cap' && !summary.capRestored;
    const shown = index === 0 || alarming ? paint(first, summary.outcome === 'met' && !alarming ? 'good' : 'bad') : first;
    const head = ' '.repeat(INDENT) + (beside ? filled(label, labels) : label);
    const below = rest.map((line) => ' '.repeat(indent) + line);
    return beside ? [head + shown, ...below] : [clip(head, columns), ' '.repeat(indent) + shown, ...below];
  });
  return ['', ...(options.prefix ? wrap(safeText(summary.domain), columns) : []), ...lines, ''];
}

/** Writes the table of all migrations whose records come: for `migrate` and `simulate`, and with `prefix` for the sidecar. */
export function tableSink(out: LineWriter, options: () => TableOptions): RecordSink {
  const followed = new Map<string, Followed>();
  let headed = false;
  return {
    write(record: MigrationRecord): void {
      const now = options();
      if (record.type === 'start') {
        const started = follow(record);
        if (started !== undefined) followed.set(record.id, started);
        if (!headed) put(out, headLines(now));
        headed = now.prefix;
        return;
      }
      if (record.type === 'summary') {
        followed.delete(record.id);
        put(out, summaryLines(record, now));
        return;
      }
      const before = followed.get(record.id);
      if (before === undefined) return;
      const [next, rows] = tableRows(before, record);
      followed.set(record.id, next);
      for (const row of rows) put(out, rowLines(row, now, painter(now.color)));
    },
    close: () => out.close(),
  };
}

function put(out: LineWriter, lines: readonly string[]): void {
  for (const line of lines) out.write(line);
}

function painter(color: boolean): (text: string, tone: Tone) => string {
  const colors = createColors(color);
  const by: Record<Tone, (text: string) => string> = {
    plain: (text) => text,
    good: colors.green,
    bad: colors.red,
    act: colors.cyan,
    faint: colors.dim,
  };
  return (text, tone) => by[tone](text);
}
