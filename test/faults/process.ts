import type { Owner } from '../../src/xen/owner.ts';
import type { VirtualTime } from './time.ts';

/**
 * A process of the simulated dom0. SIGKILL: nothing that it had planned or was waiting for happens any more; what it started (xl) goes on.
 */
export class SimProcess {
  readonly name: string;
  readonly pid: number;
  readonly owner: Owner;
  alive = true;
  stoppedUntilMs = 0;
  /** Its clocks are off by so much. */
  clockOffsetMs = 0;
  /** Dies at its n-th doing (a file operation, a call of xl, a message), before or after it. */
  dieAt: { readonly doing: number; readonly side: 'before' | 'after' } | undefined;
  #doings = 0;
  readonly #time: VirtualTime;
  readonly #onEnd: (() => void)[] = [];

  constructor(name: string, time: VirtualTime) {
    this.name = name;
    this.pid = time.newPid();
    this.#time = time;
    this.owner = { pid: this.pid, startTicks: this.pid * 7, bootId: 'simulated' };
  }

  onEnd(listener: () => void): void {
    this.#onEnd.push(listener);
  }

  /** Ends it, by SIGKILL or of its own will. */
  end(): void {
    if (!this.alive) return;
    this.alive = false;
    for (const listener of this.#onEnd) listener();
  }

  /** Runs `work` as this process, a moment from now. */
  start(work: () => void, delayMs = 0): void {
    this.#time.after(delayMs, this, work);
  }

  /** Counts a doing; which side of it this process dies on, if it does. */
  mark(): 'before' | 'after' | undefined {
    const mine = ++this.#doings;
    return this.dieAt?.doing === mine ? this.dieAt.side : undefined;
  }

  /** One doing of this process: `effect` happens in the world after `takesMs`, and its answer comes back if the process is still there. */
  do<T>(takesMs: number, effect: () => T, torn?: () => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (!this.alive) return;
      const dies = this.mark();
      this.#time.after(takesMs / 2, undefined, () => {
        if (dies === 'before') {
          torn?.();
          this.end();
        }
        // A system call of a process that died meanwhile does not happen.
        if (!this.alive) return;
        let answer: () => void;
        try {
          const value = effect();
          answer = () => resolve(value);
        } catch (error) {
          answer = () => reject(error);
        }
        if (dies === 'after') this.end();
        this.#time.after(takesMs / 2, this, answer);
      });
    });
  }

  get doings(): number {
    return this.#doings;
  }
}
