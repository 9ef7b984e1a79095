import { encodeFrame, type Frame } from '../../src/xen/relay/frames.ts';
import type { SimGuest, SimLink } from './guest.ts';
import type { SimProcess } from './process.ts';
import type { VirtualTime } from './time.ts';

export interface HelperEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface HelperInputs {
  readonly time: VirtualTime;
  readonly process: SimProcess;
  readonly guest: SimGuest;
  readonly link: SimLink;
  /** That the domain it began with is still there. */
  readonly isThere: () => boolean;
  readonly reached: (moment: 'round-1' | 'suspend-asked') => void;
  readonly say: (bytes: Buffer) => void;
  readonly onEnd: (end: HelperEnd) => void;
}

const P2M_FRAMES = 65_536;
const FRAMES_A_REPORT = 1024;
/** libxenguest's own policy. */
const ROUNDS = 5;
const FEW_PAGES = 50;
/** What the suspend itself dirties. */
const SUSPEND_PAGES = 300;
const WIRE_BYTES = 4104;

/** libxl's save helper: the rounds of stock Xen over a link, its frames on the control pipe, its end in every way it has. */
export class SimHelper {
  bytesSent = 0;
  logDirty = false;
  /** When it asked for the suspension. */
  askedAtMs: number | undefined;
  #waiting: 'suspend' | 'complete' | undefined;
  #stopping = false;
  #over = false;
  /** Nobody answers any more: where it waits for an answer it ends. */
  #deaf = false;
  readonly #in: HelperInputs;

  constructor(inputs: HelperInputs) {
    this.#in = inputs;
    inputs.process.onEnd(() => this.#end({ code: null, signal: 'SIGKILL' }));
  }

  start(): void {
    this.#in.guest.clean(this.#in.time.nowMs);
    this.logDirty = true;
    this.#progress('Start of stream', 0, 0);
    this.#round(0, P2M_FRAMES, this.#in.guest.kind.pages);
  }

  /** SIGTERM: cleans up, but not while it waits for the answer to its suspend request: there it just ends. */
  terminate(): void {
    if (this.#waiting === 'suspend') this.#end({ code: null, signal: 'SIGTERM' });
    else this.#stopping = true;
  }

  /** The beginning of a frame whose end never comes. */
  sayHalf(): void {
    if (!this.#over)
      this.#in.say(encodeFrame({ type: 'progress', context: 'xc', what: 'Frames iteration 3', done: 1, total: 2 }).subarray(0, 17));
  }

  /** libxl's answer; undefined when the pipe was closed. */
  hear(value: number | undefined): void {
    const waited = this.#waiting;
    if (value === undefined) {
      this.#deaf = true;
      if (waited !== undefined) this.#end({ code: 254, signal: null });
      return;
    }
    this.#waiting = undefined;
    if (waited === 'complete') this.#end({ code: 0, signal: null });
    else if (waited === 'suspend' && value === 1) this.#stopAndCopy();
    else if (waited === 'suspend') this.#fail('save callback suspend() failed: 0', 0);
  }

  #say(frame: Exclude<Frame, { type: 'opaque' }>): void {
    if (!this.#over) this.#in.say(encodeFrame(frame));
  }

  #progress(what: string, done: number, total: number): void {
    this.#say({ type: 'progress', context: 'xc', what, done, total });
  }

  #round(round: number, frames: number, existing: number, iteration = round, then = () => this.#afterRound(round)): void {
    const what = `Frames iteration ${iteration}`;
    if (iteration === 1) this.#in.reached('round-1');
    this.#progress(what, 0, frames);
    const send = (sent: number): void => {
      if (this.#troubled()) return;
      if (sent >= frames) {
        then();
        return;
      }
      const next = Math.min(frames, sent + FRAMES_A_REPORT);
      // Absent frames cost nothing: what exists is spread over all.
      const real = ((next - sent) * existing) / Math.max(1, frames);
      this.#transfer(real, () => {
        this.#progress(what, next, frames);
        send(next);
      });
    };
    send(0);
  }

  #transfer(pages: number, then: () => void): void {
    const { time, process, link } = this.#in;
    const stalledMs = Math.max(0, link.stalledUntilMs - time.nowMs);
    time.after(stalledMs + (pages / link.pagesPerSecond) * 1000, process, () => {
      if (link.stalledUntilMs > time.nowMs) {
        this.#transfer(pages, then);
        return;
      }
      this.bytesSent += Math.round(pages * WIRE_BYTES);
      then();
    });
  }

  #troubled(): boolean {
    if (this.#over) return true;
    if (this.#stopping) this.#fail('Failed to write page data to stream (9 = Bad file descriptor): Internal error', 9);
    else if (this.#in.link.dropped) this.#fail('Failed to write page data to stream (32 = Broken pipe): Internal error', 32);
    else if (!this.#in.isThere()) this.#fail('Failed to retrieve logdirty bitmap (3 = No such process): Internal error', 3);
    else return false;
    return true;
  }

  #afterRound(round: number): void {
    const count = Math.min(this.#in.guest.kind.pages, this.#in.guest.dirty(this.#in.time.nowMs));
    if (round + 1 < ROUNDS && count >= FEW_PAGES) {
      this.#round(round + 1, this.#in.guest.clean(this.#in.time.nowMs), count);
      return;
    }
    this.#waiting = 'suspend';
    this.askedAtMs = this.#in.time.nowMs;
    this.#in.reached('suspend-asked');
    this.#say({ type: 'suspend' });
    if (this.#deaf) this.#end({ code: 254, signal: null });
  }

  #stopAndCopy(): void {
    this.#progress('Domain now suspended', 0, 0);
    const left = Math.min(this.#in.guest.kind.pages, this.#in.guest.clean(this.#in.time.nowMs) + SUSPEND_PAGES);
    this.#round(ROUNDS, left, left, ROUNDS, () => {
      this.#progress('End of stream', 0, 0);
      this.#complete(0, 0);
    });
  }

  #fail(text: string, errno: number): void {
    this.#say({ type: 'log', level: 8, errno, context: 'xc', text });
    this.#complete(-1, errno);
  }

  #complete(result: number, errno: number): void {
    this.logDirty = false;
    this.#waiting = 'complete';
    this.#say({ type: 'complete', result, errno });
    if (this.#deaf) this.#end({ code: 254, signal: null });
  }

  #end(end: HelperEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#in.onEnd(end);
    this.#in.process.end();
  }
}
