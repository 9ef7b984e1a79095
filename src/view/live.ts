import { writeSync } from 'node:fs';
import type { RecordSink } from '../core/record.ts';
import { putToDescriptor } from '../trace/line-writer.ts';
import { addNote, foldLive, initialLive } from './live-model.ts';
import { render } from './live-render.ts';

export interface LiveOptions {
  /** The terminal: size, resize events, descriptor. */
  readonly terminal: NodeJS.WriteStream & { readonly fd: number };
  readonly color: boolean;
  /** At most one repaint in so many milliseconds; default 100. */
  readonly everyMs?: number;
}

export interface LiveSink extends RecordSink {
  /** Shows a note that belongs to no migration. */
  say(level: 'info' | 'warning' | 'error', text: string): void;
}

const EVERY_MS = 100;
const COLUMNS = 80;
const ROWS = 24;

/** Alternate screen, cursor hidden, no wrapping; and all of it undone. */
const ENTER = '\u001b[?1049h\u001b[?25l\u001b[?7l';
const LEAVE = '\u001b[?7h\u001b[?25h\u001b[?1049l';
/** Synchronized output: terminals that know it paint the frame at once, others ignore it. */
const FRAME_BEGIN = '\u001b[?2026h\u001b[H';
const FRAME_END = '\u001b[?2026l';

/** Lines as one frame over the last one. Each line is cleared before it is written: afterwards the last column would be cleared too. */
export function frameOf(lines: readonly string[], rows: number): string {
  const body = lines.map((line) => `\u001b[K${line}`).join('\r\n');
  return FRAME_BEGIN + body + (lines.length < rows ? '\r\n\u001b[J' : '') + FRAME_END;
}

/**
 * The live view on a terminal: folds records, repaints at a bounded rate, follows resizes, and leaves the terminal as it was on close, on
 * any exit of the process, and while it is stopped by Ctrl-Z. Frames are written off the main thread: a terminal stopped with Ctrl-S
 * costs frames, never control.
 */
export function liveSink({ terminal, color, everyMs = EVERY_MS }: LiveOptions): LiveSink {
  let model = initialLive;
  let due: NodeJS.Timeout | undefined;
  let painting: Promise<void> | undefined;
  let dirty = false;
  let open = true;

  const put = (text: string): Promise<void> => putToDescriptor(terminal.fd, Buffer.from(text)).catch(() => undefined);
  const paint = (): void => {
    due = undefined;
    if (!open || !dirty) return;
    if (painting !== undefined) {
      schedule();
      return;
    }
    dirty = false;
    const rows = terminal.rows ?? ROWS;
    painting = put(frameOf(render(model, { columns: terminal.columns ?? COLUMNS, rows, color }), rows)).then(() => {
      painting = undefined;
    });
  };
  const schedule = (): void => {
    dirty = true;
    due ??= setTimeout(paint, everyMs);
  };
  const leaveNow = (): void => {
    if (!open) return;
    open = false;
    try {
      writeSync(terminal.fd, LEAVE);
    } catch {
      // The terminal is gone: nothing to put back.
    }
  };
  const stop = (): void => {
    writeSync(terminal.fd, LEAVE);
    process.kill(process.pid, 'SIGSTOP');
  };
  const goOn = (): void => {
    void put(ENTER);
    schedule();
  };

  void put(ENTER);
  terminal.on('resize', schedule);
  process.on('exit', leaveNow);
  process.on('SIGTSTP', stop);
  process.on('SIGCONT', goOn);
  schedule();
  return {
    write(record) {
      model = foldLive(model, record);
      schedule();
    },
    say(level, text) {
      model = addNote(model, level, text);
      schedule();
    },
    async close() {
      clearTimeout(due);
      terminal.off('resize', schedule);
      process.off('SIGTSTP', stop);
      process.off('SIGCONT', goOn);
      await painting;
      if (open) {
        open = false;
        await put(LEAVE);
      }
      process.off('exit', leaveNow);
    },
  };
}
