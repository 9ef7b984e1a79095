import type { FileHandle } from 'node:fs/promises';
import { messageOf } from '../core/errors.ts';
import type { MigrationRecord, RecordSink, StartRecord } from '../core/record.ts';
import { createPrivately, type Keep, privateDirectory, rotate, traceName } from './directory.ts';
import { type LineWriter, lineWriter } from './line-writer.ts';

export interface RecorderOptions {
  /** Where traces go, e.g. `/var/lib/xthrottle/traces`; made when missing. */
  readonly directory: string;
  /** Traces kept, the newest; default 200. */
  readonly filesMax?: number;
  /** Bytes kept over all traces; default 512 MiB. */
  readonly bytesMax?: number;
  /** Bytes of one trace, after which only its end is written; default 64 MiB. */
  readonly fileBytesMax?: number;
  /** Bytes that may wait for a slow disk, per migration; default 8 MiB. */
  readonly queueBytesMax?: number;
  /** Told once when recording does not work; control goes on. */
  readonly warn: (text: string) => void;
  /** Wall-clock time for file names. */
  readonly now?: () => Date;
}

export interface Recorder extends RecordSink {
  /** The file of a migration, once it is open. */
  pathOf(id: string): string | undefined;
}

type Bounds = Keep & { readonly directory: string };

const DEFAULTS = { filesMax: 200, bytesMax: 512 * 1024 * 1024, fileBytesMax: 64 * 1024 * 1024, queueBytesMax: 8 * 1024 * 1024 } as const;

interface Tape {
  readonly writer: LineWriter;
  readonly opened: Promise<Opened>;
  bytes: number;
  /** The trace has reached its bound: only its end is still written. */
  full: boolean;
  /** Records that did not get in since the last one that did. */
  missing: number;
}

interface Opened {
  readonly path: string;
  readonly file: FileHandle;
}

/**
 * The flight recorder: each migration's records as JSON lines in a file of its own, rotated. `write` only queues; what a slow disk or the
 * size bound keeps out is counted and the trace says so in a note with `dropped`. A full or unwritable disk warns once.
 */
export function recorder(options: RecorderOptions): Recorder {
  const bounds = { ...DEFAULTS, ...options };
  const tapes = new Map<string, Tape>();
  const closing = new Set<Promise<void>>();
  /** Files being written: rotation leaves them alone. */
  const open = new Set<string>();
  const paths = new Map<string, string>();
  let warned = false;
  const warnOnce = (error: unknown): void => {
    if (warned) return;
    warned = true;
    options.warn(`the flight recorder cannot write to ${options.directory}: ${messageOf(error)}; control goes on without a trace`);
  };
  const begin = (record: StartRecord): Tape => {
    const opened = openTrace(record, bounds, open, options.now ?? (() => new Date()));
    opened.then(({ path }) => remember(paths, record.id, path, bounds.filesMax), warnOnce);
    const put = async (chunk: Buffer): Promise<void> => (await opened).file.appendFile(chunk);
    return {
      writer: lineWriter(put, { queueBytesMax: bounds.queueBytesMax, onError: warnOnce }),
      opened,
      bytes: 0,
      full: false,
      missing: 0,
    };
  };
  const end = (id: string, tape: Tape): void => {
    tapes.delete(id);
    const closed = finish(tape, bounds, open)
      .catch(warnOnce)
      .finally(() => closing.delete(closed));
    closing.add(closed);
  };
  return {
    write(record) {
      if (record.type === 'start' && !tapes.has(record.id)) tapes.set(record.id, begin(record));
      const tape = tapes.get(record.id);
      if (tape === undefined) return;
      put(tape, record, bounds.fileBytesMax);
      if (record.type === 'summary') end(record.id, tape);
    },
    pathOf: (id) => paths.get(id),
    async close() {
      for (const [id, tape] of tapes) end(id, tape);
      await Promise.all(closing);
    },
  };
}

function put(tape: Tape, record: MigrationRecord, fileBytesMax: number): void {
  const line = JSON.stringify(record);
  tape.full ||= tape.bytes + line.length > fileBytesMax;
  if (tape.full && record.type !== 'summary') {
    tape.missing += 1;
    return;
  }
  if (tape.missing > 0) {
    const text = `${tape.missing} records were not written: the disk was too slow or the trace too long`;
    const note: MigrationRecord = { type: 'note', id: record.id, level: 'warning', text, dropped: tape.missing };
    if (tape.writer.write(JSON.stringify(note))) tape.missing = 0;
  }
  if (tape.writer.write(line)) tape.bytes += Buffer.byteLength(line) + 1;
  else tape.missing += 1;
}

function remember(paths: Map<string, string>, id: string, path: string, most: number): void {
  paths.set(id, path);
  const oldest = paths.keys().next().value;
  if (paths.size > most && oldest !== undefined) paths.delete(oldest);
}

async function openTrace(record: StartRecord, bounds: Bounds, open: Set<string>, now: () => Date): Promise<Opened> {
  await privateDirectory(bounds.directory);
  await rotate(bounds.directory, { ...bounds, filesMax: Math.max(0, bounds.filesMax - 1) }, open);
  const opened = await createPrivately(bounds.directory, traceName(now(), record.goal.domain.name, record.id));
  open.add(opened.path);
  return opened;
}

async function finish(tape: Tape, bounds: Bounds, open: Set<string>): Promise<void> {
  await tape.writer.close();
  const { file, path } = await tape.opened;
  await file.close();
  open.delete(path);
  await rotate(bounds.directory, bounds, open);
}
