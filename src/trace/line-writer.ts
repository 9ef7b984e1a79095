import { write as fsWrite } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Takes lines without ever blocking and writes them in order. */
export interface LineWriter {
  /** Queues a line; false when it was dropped: the queue is full, or the output is gone. */
  write(line: string): boolean;
  /** Lines dropped so far. */
  readonly dropped: number;
  /** True once the output cannot be written any more. */
  readonly broken: boolean;
  /** Resolves when all that was queued is written, or the output broke. Nothing is taken afterwards. */
  close(): Promise<void>;
}

export interface LineWriterOptions {
  /** Most bytes waiting; lines beyond are dropped and counted. */
  readonly queueBytesMax?: number;
  /** Called once, with what broke the output. */
  readonly onError?: (error: unknown) => void;
}

const QUEUE_BYTES_MAX = 16 * 1024 * 1024;
/** What goes into one write call. */
const BATCH_BYTES = 256 * 1024;

/**
 * A bounded queue before `put`, which writes one chunk and resolves when it is written. A slow or stuck output costs memory up to the
 * bound and then lines, never the caller's time.
 */
export function lineWriter(put: (chunk: Buffer) => Promise<void>, options: LineWriterOptions = {}): LineWriter {
  const most = options.queueBytesMax ?? QUEUE_BYTES_MAX;
  let queue: Buffer[] = [];
  let queuedBytes = 0;
  let dropped = 0;
  let broken = false;
  let closed = false;
  let draining: Promise<void> | undefined;

  async function drain(): Promise<void> {
    while (queue.length > 0 && !broken) {
      const batch = take();
      try {
        await put(batch);
      } catch (error) {
        broken = true;
        queue = [];
        options.onError?.(error);
      }
      queuedBytes = broken ? 0 : queuedBytes - batch.length;
    }
    draining = undefined;
  }

  function take(): Buffer {
    let size = 0;
    let count = 0;
    while (count < queue.length && (count === 0 || size + (queue[count]?.length ?? 0) <= BATCH_BYTES)) {
      size += queue[count]?.length ?? 0;
      count += 1;
    }
    return Buffer.concat(queue.splice(0, count));
  }

  return {
    write(line) {
      const chunk = Buffer.from(`${line}\n`);
      if (closed || broken || queuedBytes + chunk.length > most) {
        dropped += 1;
        return false;
      }
      queue.push(chunk);
      queuedBytes += chunk.length;
      draining ??= Promise.resolve().then(drain);
      return true;
    },
    get dropped() {
      return dropped;
    },
    get broken() {
      return broken;
    },
    async close() {
      closed = true;
      await draining;
    },
  };
}

/** How long a descriptor that says EAGAIN (somebody made the terminal non-blocking) is left alone. */
const AGAIN_MS = 20;

/**
 * Writes whole chunks to a descriptor off the main thread. Node writes to pipes and terminals synchronously: a paused pager or a Ctrl-S
 * would stop the control loop, and the guest would stay throttled.
 */
export async function putToDescriptor(fd: number, chunk: Buffer): Promise<void> {
  let offset = 0;
  while (offset < chunk.length) {
    try {
      offset += await writeSome(fd, chunk, offset);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      await sleep(AGAIN_MS);
    }
  }
}

const writeSome = (fd: number, chunk: Buffer, offset: number): Promise<number> =>
  new Promise((resolve, reject) => {
    fsWrite(fd, chunk, offset, chunk.length - offset, null, (error, written) => (error === null ? resolve(written) : reject(error)));
  });

/** A line writer on an open descriptor: 1 for stdout, 2 for stderr. A reader that went away (EPIPE) breaks it quietly. */
export const descriptorWriter = (fd: number, options: LineWriterOptions = {}): LineWriter =>
  lineWriter((chunk) => putToDescriptor(fd, chunk), options);
