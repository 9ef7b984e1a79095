import type { RecordSink } from '../core/record.ts';
import { descriptorWriter, type LineWriter } from '../trace/line-writer.ts';
import { wantsColor } from '../view/colors.ts';
import { fanOut, jsonSink } from '../view/json.ts';
import { isJournal, noteLine, noteSink } from '../view/notes.ts';
import { tableSink } from '../view/table.ts';
import type { OutputArguments } from './options.ts';

export interface Output {
  /** Everything that shows or keeps records; none of it ever blocks control. */
  readonly sink: RecordSink;
  /** A line for people, on stderr. */
  say(text: string, level?: 'info' | 'warning' | 'error'): void;
  close(): Promise<void>;
}

export interface OutputOptions extends OutputArguments {
  /** Several migrations at a time: lines carry the domain's name. */
  readonly many: boolean;
  /** Further consumers: recorder, metrics. */
  readonly also?: readonly RecordSink[];
}

/** Last words wait at most so long for a reader that has stopped reading. */
const CLOSE_MS = 2000;

/** stdout is data (the table, or JSON lines), stderr is for people. */
export function openOutput(options: OutputOptions): Output {
  const out = descriptorWriter(1);
  const err = descriptorWriter(2);
  const noteOptions = {
    journal: isJournal(2, process.env),
    color: wantsColor(process.stderr, process.env),
    events: options.json && !options.quiet,
  };
  const shown = options.json ? jsonSink(out) : options.quiet ? onlySummaries(table(out, options.many)) : table(out, options.many);
  const sink = fanOut([shown, noteSink(err, noteOptions), ...(options.also ?? [])]);
  return {
    sink,
    say: (text, level = 'info') => void err.write(noteLine(level, text, noteOptions)),
    close: () => within(CLOSE_MS, Promise.all([sink.close(), out.close(), err.close()])),
  };
}

function table(out: LineWriter, prefix: boolean): RecordSink {
  const color = wantsColor(process.stdout, process.env);
  return tableSink(out, () => ({ color, prefix, ...(process.stdout.isTTY ? { columns: process.stdout.columns } : {}) }));
}

/** --quiet: the table is told of beginnings and ends only. */
const onlySummaries = (sink: RecordSink): RecordSink => ({
  write: (record) => {
    if (record.type === 'summary') sink.write(record);
  },
  close: () => sink.close(),
});

async function within(limitMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([work.catch(() => undefined), limit]);
  clearTimeout(timer);
}
