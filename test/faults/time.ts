import type { SimProcess } from './process.ts';

/** What `setTimeout` answers with while time is virtual. */
class Timer {
  readonly atMs: number;
  readonly order: number;
  readonly process: SimProcess | undefined;
  readonly run: () => void;
  cancelled = false;

  constructor(atMs: number, order: number, process: SimProcess | undefined, run: () => void) {
    this.atMs = atMs;
    this.order = order;
    this.process = process;
    this.run = run;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return false;
  }
}

const REAL = {
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setImmediate: globalThis.setImmediate,
  now: performance.now.bind(performance),
  hrtime: process.hrtime.bigint,
};

/** Of CLOCK_MONOTONIC when a run begins: a host that has been up for a while. */
const UPTIME_MS = 5_000_000;

/**
 * Virtual time for code that uses Node's own timers and clocks. Everything that happens belongs to one simulated process (or to the world
 * itself); after each event all its promises settle before the next one begins. What a dead process had planned does not happen.
 */
export class VirtualTime {
  nowMs = 0;
  current: SimProcess | undefined;
  #order = 0;
  #pids = 1000;
  readonly #heap: Timer[] = [];

  newPid(): number {
    return ++this.#pids;
  }

  after(delayMs: number, process: SimProcess | undefined, run: () => void): Timer {
    const timer = new Timer(this.nowMs + Math.max(0, delayMs), this.#order++, process, run);
    this.#push(timer);
    return timer;
  }

  /** Runs events until `done`, or nothing is left, or the time is `untilMs`. */
  async run(untilMs: number, done: () => boolean): Promise<void> {
    this.#install();
    try {
      while (!done()) {
        const next = this.#heap[0];
        if (next === undefined || next.atMs > untilMs) break;
        this.#pop();
        if (next.cancelled || next.process?.alive === false) continue;
        this.nowMs = Math.max(this.nowMs, next.atMs);
        const stopped = next.process?.stoppedUntilMs ?? 0;
        if (stopped > this.nowMs) {
          this.#push(new Timer(stopped, next.order, next.process, next.run));
          continue;
        }
        this.current = next.process;
        next.run();
        // One real turn: promises and ticks are all carried out in between.
        await new Promise<void>((resolve) => REAL.setImmediate(resolve));
      }
      if (untilMs !== Number.POSITIVE_INFINITY && !done()) this.nowMs = Math.max(this.nowMs, untilMs);
    } finally {
      this.current = undefined;
      this.#uninstall();
    }
  }

  #install(): void {
    const clock = () => UPTIME_MS + this.nowMs + (this.current?.clockOffsetMs ?? 0);
    globalThis.setTimeout = ((run: (...args: unknown[]) => void, delayMs?: number, ...args: unknown[]) =>
      this.after(delayMs ?? 0, this.current, () => run(...args))) as unknown as typeof setTimeout;
    globalThis.clearTimeout = ((timer: unknown) => {
      if (timer instanceof Timer) timer.cancelled = true;
      else REAL.clearTimeout(timer as NodeJS.Timeout);
    }) as typeof clearTimeout;
    globalThis.setImmediate = ((run: (...args: unknown[]) => void, ...args: unknown[]) =>
      this.after(0, this.current, () => run(...args))) as unknown as typeof setImmediate;
    performance.now = clock;
    process.hrtime.bigint = () => BigInt(Math.round(clock() * 1e6));
  }

  #uninstall(): void {
    globalThis.setTimeout = REAL.setTimeout;
    globalThis.clearTimeout = REAL.clearTimeout;
    globalThis.setImmediate = REAL.setImmediate;
    performance.now = REAL.now;
    process.hrtime.bigint = REAL.hrtime;
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      if (!before(timer, heap[up] as Timer)) break;
      heap[at] = heap[up] as Timer;
      at = up;
    }
    heap[at] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Timer;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= heap.length) break;
      if (down + 1 < heap.length && before(heap[down + 1] as Timer, heap[down] as Timer)) down++;
      if (!before(heap[down] as Timer, last)) break;
      heap[at] = heap[down] as Timer;
      at = down;
    }
    heap[at] = last;
  }
}

const before = (a: Timer, b: Timer): boolean => a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
