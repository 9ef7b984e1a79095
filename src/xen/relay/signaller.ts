import type { Readable } from 'node:stream';

/** What one read of a pipe takes at most (Node's); a shorter one has emptied it. */
const READ_BYTES = 65_536;
const REPLY_BYTES = 4;
/** A helper that neither goes on nor is answered for so long gets the signal all the same, as it would without us. */
const SIGNAL_WAIT_MS = 3000;

/**
 * Signals the save helper at a moment when the signal makes it clean up. Its handler interrupts the system call it is in, and it takes an
 * interrupted write to a full control pipe, or an interrupted read of a reply, for the end of libxl: it exits at once and leaves log-dirty
 * on (seen on Xen 4.17: `write: Interrupted system call`). So the pipe is emptied and replies are waited for first.
 */
export class Signaller {
  readonly #kill: (signal: NodeJS.Signals) => void;
  readonly #says: Readable;
  readonly #pending: NodeJS.Signals[] = [];
  #unanswered = 0;
  #replyBytes = 0;
  #chunks = 0;
  #timer: NodeJS.Timeout | undefined;

  /** `says`: the helper's end of the control pipe, which is read by somebody else. */
  constructor(kill: (signal: NodeJS.Signals) => void, says: Readable) {
    this.#kill = kill;
    this.#says = says;
  }

  /** A signal waits for its moment: the pipe is to be read without pauses. */
  get waiting(): boolean {
    return this.#pending.length > 0;
  }

  send(signal: NodeJS.Signals): void {
    this.#pending.push(signal);
    this.#timer ??= setTimeout(() => this.#deliver(), SIGNAL_WAIT_MS);
    this.#says.resume();
    this.#whenQuiet();
  }

  /** The helper waits for libxl's answer. */
  asked(): void {
    this.#unanswered += 1;
  }

  /** So many bytes of answers went to it. */
  answered(bytes: number): void {
    this.#replyBytes += bytes;
    this.#unanswered = Math.max(0, this.#unanswered - Math.floor(this.#replyBytes / REPLY_BYTES));
    this.#replyBytes %= REPLY_BYTES;
    if (this.waiting) setImmediate(() => this.#whenQuiet());
  }

  /** A chunk of the control pipe was read and handled. */
  read(bytes: number): void {
    this.#chunks += 1;
    if (this.waiting && bytes < READ_BYTES && this.#unanswered === 0) this.#deliver();
  }

  /** The helper has ended. */
  close(): void {
    clearTimeout(this.#timer);
    this.#pending.length = 0;
  }

  /** Nothing read in two turns of the event loop, of which the second polls the pipe: it is empty. */
  #whenQuiet(): void {
    const chunks = this.#chunks;
    setImmediate(() =>
      setImmediate(() => {
        if (this.waiting && chunks === this.#chunks && this.#unanswered === 0) this.#deliver();
      }),
    );
  }

  #deliver(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const signal of this.#pending.splice(0)) this.#kill(signal);
  }
}
