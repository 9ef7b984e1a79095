/** The server's answer to a suspend request. */
export interface Leave {
  readonly grant: boolean;
  readonly reason?: string;
  /** Pass the request on only so much later: the guest, its cap lifted, runs a while first. */
  readonly afterMs?: number;
}

export interface GateInputs {
  /** undefined: nobody is asked. */
  readonly waitMs: number | undefined;
  /** The answer; `lost` when the server is gone. */
  readonly answer: Promise<Leave | 'lost'>;
  /** Settles with a reason when the migration is to end: a signal, or the server's abort. */
  readonly stopped: Promise<Stop>;
  /** Puts the cap back; undefined when there is nothing to put back. */
  lift(): Promise<boolean | undefined>;
}

export interface Stop {
  readonly reason: string;
  readonly by: 'server' | 'signal';
}

export type Outcome =
  | { readonly result: 'passed-on'; readonly by: 'server' | 'timeout' | 'observe'; readonly lifted?: boolean }
  | { readonly result: 'denied'; readonly by: 'server' | 'signal'; readonly reason: string };

export const AFTER_MS_MAX = 5000;

/**
 * Decides on the one suspend request of a migration. Whoever does not answer in time has agreed, as stock Xen would; then the cap is
 * lifted here first, because a parked guest cannot answer the suspend. Until the request is passed on, the helper waits for its reply
 * and a stop is a clean denial.
 */
export async function decideSuspend(inputs: GateInputs): Promise<Outcome> {
  const clock = timers();
  try {
    return await decide(inputs, clock.after);
  } finally {
    clock.clear();
  }
}

async function decide(inputs: GateInputs, after: (ms: number) => Promise<'time'>): Promise<Outcome> {
  const { waitMs, answer, stopped } = inputs;
  const stop = stopped.then((value) => ({ stop: value }));
  const first = waitMs === undefined ? 'observe' : await Promise.race([stop, answer, after(waitMs)]);
  if (typeof first === 'object' && 'stop' in first) return denied(first.stop);
  if (typeof first === 'object' && !first.grant) {
    return denied({ reason: first.reason ?? 'xthrottle denied the suspension', by: 'server' });
  }
  if (typeof first === 'object') {
    const wait = Math.min(AFTER_MS_MAX, Math.max(0, first.afterMs ?? 0));
    const then = wait === 0 ? 'time' : await Promise.race([stop, after(wait)]);
    return then === 'time' ? { result: 'passed-on', by: 'server' } : denied(then.stop);
  }
  const lifted = await Promise.race([stop, inputs.lift()]);
  if (typeof lifted === 'object') return denied(lifted.stop);
  return { result: 'passed-on', by: first === 'observe' ? 'observe' : 'timeout', ...(lifted === undefined ? {} : { lifted }) };
}

const denied = (stop: Stop): Outcome => ({ result: 'denied', ...stop });

function timers(): { after(ms: number): Promise<'time'>; clear(): void } {
  const running: NodeJS.Timeout[] = [];
  return {
    after: (ms) => new Promise((resolve) => running.push(setTimeout(() => resolve('time'), ms))),
    clear() {
      for (const timer of running) clearTimeout(timer);
    },
  };
}

/** A promise and the function that settles it. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  settle(value: T): void;
}

export function deferred<T>(): Deferred<T> {
  let settle: (value: T) => void = () => undefined;
  const promise = new Promise<T>((resolve) => {
    settle = resolve;
  });
  return { promise, settle };
}
