import { encodeFrame, type Frame } from '../../src/xen/relay/frames.ts';
import { POLICY_PROTOCOL, REQUEST_BYTES, stockAnswer } from '../../src/xen/relay/policy-wire.ts';
import type { PolicyAnswer } from '../../src/xen/relay/protocol.ts';
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
  /** To the relay, from the preloaded policy object; undefined where none is loaded. */
  readonly askPolicy?: ((bytes: Buffer) => void) | undefined;
  readonly onEnd: (end: HelperEnd) => void;
}

const P2M_FRAMES = 65_536;
const FRAMES_A_REPORT = 1024;
/** libxenguest's own policy. */
const ROUNDS = 5;
/** What the suspend itself dirties. */
const SUSPEND_PAGES = 300;
const WIRE_BYTES = 4104;
/** The policy object gives up on a relay after so long. */
const POLICY_WAIT_MS = 5000;
const POLICY_MAGIC = 0x78746870;

function policyRequest(kind: number, id: number, iteration: number, dirty: number, written: number): Buffer {
  const bytes = Buffer.alloc(REQUEST_BYTES);
  bytes.writeUInt32LE(POLICY_MAGIC, 0);
  bytes.writeUInt16LE(POLICY_PROTOCOL, 4);
  bytes.writeUInt16LE(kind, 6);
  bytes.writeUInt32LE(id, 8);
  bytes.writeUInt32LE(iteration, 12);
  bytes.writeBigUInt64LE(BigInt(Math.round(written)), 16);
  bytes.writeBigInt64LE(BigInt(dirty), 24);
  return bytes;
}

/** libxl's save helper: the rounds of stock Xen over a link, its frames on the control pipe, its end in every way it has. */
export class SimHelper {
  bytesSent = 0;
  logDirty = false;
  /** When it asked for the suspension. */
  askedAtMs: number | undefined;
  #waiting: 'suspend' | 'complete' | undefined;
  #stopping = false;
  #question: { readonly id: number; readonly then: (answer: PolicyAnswer) => void; readonly stock: PolicyAnswer } | undefined;
  #questions = 0;
  #policyGone = false;
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
    this.#in.askPolicy?.(policyRequest(0, 0, 0, -1, 0));
    this.#next(0, P2M_FRAMES, this.#in.guest.kind.pages);
  }

  /** The policy is asked before a round and after it; where it says stop before, that round still goes live. */
  #next(round: number, frames: number, existing: number): void {
    this.#ask(round, frames, (before) => {
      if (before === 'abort') this.#fail('precopy policy has requested to abort', 0);
      else this.#round(round, frames, existing, () => this.#afterRound(round, before === 'stop-and-copy'));
    });
  }

  #ask(iteration: number, dirty: number, then: (answer: PolicyAnswer) => void): void {
    const stock = stockAnswer(iteration, dirty);
    const { askPolicy, time, process } = this.#in;
    if (askPolicy === undefined || this.#policyGone) {
      then(stock);
      return;
    }
    const id = ++this.#questions;
    this.#question = { id, then, stock };
    askPolicy(policyRequest(1, id, iteration, dirty, this.bytesSent / WIRE_BYTES));
    time.after(POLICY_WAIT_MS, process, () => this.#answered(id, stock));
  }

  #answered(id: number, answer: PolicyAnswer): void {
    const question = this.#question;
    if (question?.id !== id || this.#over) return;
    this.#question = undefined;
    question.then(answer);
  }

  /** The relay's answer to the policy object; undefined when it is gone. */
  hearPolicy(reply: Buffer | undefined): void {
    if (reply === undefined) {
      this.#policyGone = true;
      if (this.#question !== undefined) this.#answered(this.#question.id, this.#question.stock);
      return;
    }
    const value = reply.readInt32LE(12);
    this.#answered(reply.readUInt32LE(8), value === 1 ? 'stop-and-copy' : value === 0 ? 'continue' : 'abort');
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

  #round(iteration: number, frames: number, existing: number, then: () => void): void {
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

  #afterRound(round: number, last: boolean): void {
    if (last) this.#askToSuspend();
    else
      this.#ask(round + 1, -1, (after) => {
        if (this.#troubled()) return;
        if (after === 'abort') this.#fail('precopy policy has requested to abort', 0);
        else if (after === 'stop-and-copy') this.#askToSuspend();
        else {
          const count = Math.min(this.#in.guest.kind.pages, this.#in.guest.clean(this.#in.time.nowMs));
          this.#next(round + 1, count, count);
        }
      });
  }

  #askToSuspend(): void {
    this.#waiting = 'suspend';
    this.askedAtMs = this.#in.time.nowMs;
    this.#in.reached('suspend-asked');
    this.#say({ type: 'suspend' });
    if (this.#deaf) this.#end({ code: 254, signal: null });
  }

  #stopAndCopy(): void {
    this.#progress('Domain now suspended', 0, 0);
    const left = Math.min(this.#in.guest.kind.pages, this.#in.guest.clean(this.#in.time.nowMs) + SUSPEND_PAGES);
    this.#round(ROUNDS, left, left, () => {
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
