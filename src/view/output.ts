import type { MigrationRecord, RecordSink, SummaryRecord } from '../core/record.ts';
import { descriptorWriter } from '../trace/line-writer.ts';
import { type TerminalLike, wantsColor } from './colors.ts';
import { fanOut, jsonSink } from './json.ts';
import { liveSink } from './live.ts';
import { isJournal, noteLine, noteSink } from './notes.ts';
import { summaryLines, type TableOptions, tableSink } from './table.ts';

export interface OutputOptions {
  /** `--json`: records, one a line, on stdout. */
  readonly json: boolean;
  /** Allow the live view when stdout is a terminal; else the plain table always. */
  readonly live: boolean;
  /** Several migrations at once: the table's lines begin with the domain's name. */
  readonly several: boolean;
  /** Log starts, decisions and ends on stderr too: the sidecar without a terminal. */
  readonly logEvents?: boolean;
  readonly stdout: NodeJS.WriteStream & { readonly fd: number };
  readonly stderr: TerminalLike;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export interface Output extends RecordSink {
  readonly mode: 'json' | 'live' | 'table';
  /** Something for the person at the terminal: shown in the live view, else a line on stderr. */
  say(level: 'info' | 'warning' | 'error', text: string): void;
}

/** What may wait for whoever reads stdout: a fast simulation runs ahead of any pipe. */
const QUEUE_BYTES_MAX = 256 * 1024 * 1024;

/** Summaries printed after the live view has given the screen back. */
const SUMMARIES_MAX = 20;

/** Where a command's records go on its terminal: stdout is data (`--json` or the table), stderr is for people. */
export function openOutput(options: OutputOptions): Output {
  const { stdout, stderr, env } = options;
  const out = descriptorWriter(1, { queueBytesMax: QUEUE_BYTES_MAX });
  const err = descriptorWriter(2);
  const notes = { journal: isJournal(2, env), color: wantsColor(stderr, env), events: options.logEvents ?? false };
  const say = (level: 'info' | 'warning' | 'error', text: string): void => void err.write(noteLine(level, text, notes));
  const table = (): TableOptions => ({
    color: wantsColor(stdout, env),
    prefix: options.several,
    ...(stdout.isTTY === true ? { columns: stdout.columns } : {}),
  });
  const plain = (mode: 'json' | 'table', data: RecordSink): Output => ({
    mode,
    say,
    write: fanOut([data, noteSink(err, notes)]).write,
    async close() {
      await data.close();
      if (out.dropped > 0 && !out.broken) say('warning', `${out.dropped} lines of output were dropped: stdout was not read in time`);
      await err.close();
    },
  });
  if (options.json) return plain('json', jsonSink(out));
  if (!options.live || stdout.isTTY !== true || env['TERM'] === 'dumb') {
    return plain('table', tableSink(out, table));
  }
  const live = liveSink({ terminal: stdout, color: wantsColor(stdout, env) });
  const ended: SummaryRecord[] = [];
  const serious: { readonly level: 'warning' | 'error'; readonly text: string }[] = [];
  return {
    mode: 'live',
    say(level, text) {
      live.say(level, text);
      if (level !== 'info') serious.push({ level, text });
    },
    write(record: MigrationRecord) {
      live.write(record);
      if (record.type === 'summary') ended.push(record);
      if (record.type === 'note' && record.level !== 'info') serious.push({ level: record.level, text: record.text });
      ended.splice(0, ended.length - SUMMARIES_MAX);
      serious.splice(0, serious.length - SUMMARIES_MAX);
    },
    async close() {
      await live.close();
      for (const summary of ended) for (const line of summaryLines(summary, { ...table(), prefix: true })) out.write(line);
      for (const { level, text } of serious) say(level, text);
      await Promise.all([out.close(), err.close()]);
    },
  };
}
