import type { RecordSink } from '../core/record.ts';
import { fanOut } from '../view/json.ts';
import { openOutput as openView } from '../view/output.ts';
import type { OutputArguments } from './options.ts';

export interface Output {
  /** Everything that shows or keeps records; none of it ever blocks control. */
  readonly sink: RecordSink;
  /** A line for people, on stderr (in the live view: in its own place). */
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
  const { json, quiet, many } = options;
  const view = openView({
    json,
    live: options.live && !quiet,
    several: many,
    logEvents: json && !quiet,
    stdout: process.stdout as NodeJS.WriteStream & { readonly fd: number },
    stderr: process.stderr,
    env: process.env,
  });
  const sink = fanOut([quiet && !json ? onlyEnds(view) : view, ...(options.also ?? [])]);
  let closing: Promise<void> | undefined;
  return {
    sink,
    say: (text, level = 'info') => view.say(level, text),
    close: () => {
      closing ??= within(CLOSE_MS, sink.close());
      return closing;
    },
  };
}

/** --quiet: summaries and notes. */
const onlyEnds = (sink: RecordSink): RecordSink => ({
  write: (record) => {
    if (record.type === 'summary' || record.type === 'note') sink.write(record);
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
