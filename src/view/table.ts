import type { MigrationRecord, RecordSink, SummaryRecord } from '../core/record.ts';
import type { LineWriter } from '../trace/line-writer.ts';
import { createColors } from './colors.ts';
import { summaryRows } from './summary.ts';
import { headLines, rowLines, type TableLayout, type Tone } from './table-row.ts';
import { type Followed, follow, tableRows } from './table-rows.ts';
import { columnsOf, filled, safeText, wrap } from './text.ts';

export interface TableOptions extends TableLayout {
  readonly color: boolean;
}

/** The summary as a block of `label  text` lines. */
export function summaryLines(summary: SummaryRecord, options: TableOptions): string[] {
  const paint = painter(options.color);
  const rows = summaryRows(summary);
  const labels = Math.max(...rows.map(([label]) => columnsOf(label))) + 2;
  const room = options.columns === undefined ? Number.POSITIVE_INFINITY : Math.max(8, options.columns - labels - 2);
  const tone: Tone = summary.outcome === 'met' ? 'good' : 'bad';
  const title = safeText(summary.domain);
  return [
    '',
    ...(options.prefix ? wrap(title, options.columns ?? Number.POSITIVE_INFINITY) : []),
    ...rows.flatMap(([label, text], index) => {
      const [first = '', ...rest] = wrap(text, room);
      const alarming = label === 'Cap' && !summary.capRestored;
      const shown = index === 0 || alarming ? paint(first, alarming ? 'bad' : tone) : first;
      return [`  ${filled(label, labels)}${shown}`, ...rest.map((line) => ' '.repeat(labels + 2) + line)];
    }),
    '',
  ];
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
