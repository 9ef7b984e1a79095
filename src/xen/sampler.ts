import { nextLook } from '../core/looks.ts';
import type { Ms } from '../core/units.ts';
import { monotonicMs } from './clock.ts';

/** Outside of rounds there is nothing to look at; so long until it is asked again. */
const IDLE_MS = 100;
/** A look or a tick, with all that follows from it (the decision included), may take a tenth of the time: a slow dom0 is looked at less, … */
const SHARE = 0.1;
/** … but not so seldom that a long round goes by unseen. */
const PAUSE_MS_MAX = 5000;
const TICK_MS = 1000;
const OTHERS_MS = 2000;

export interface SamplerOptions {
  /** How long the running round has run, and what it is expected to take; undefined outside of rounds. */
  readonly round: () => RoundClock | undefined;
  readonly look: (atMs: Ms) => void;
  readonly tick: (atMs: Ms) => void;
  /** Looks whether somebody else changed the cap. */
  readonly others: () => Promise<void>;
}

export interface RoundClock {
  readonly sinceMs: Ms;
  /** Infinity while no transfer rate is known. */
  readonly expectedMs: number;
}

export interface Sampler {
  /** A round has begun: its first look is due soon, whatever was planned. */
  roundBegan(): void;
  stop(): void;
}

interface Repeated {
  /** Instead of when it was planned. */
  in(delayMs: number): void;
  stop(): void;
}

/** Looks, ticks, and watches for other people's changes until stopped. Nothing of it overlaps itself: the next is planned when one is over. */
export function startSampler(options: SamplerOptions): Sampler {
  const looks = repeated(() => {
    if (options.round() === undefined) return IDLE_MS;
    const pauseMs = pauseAfter(options.look);
    return Math.max(delayOf(options.round()), pauseMs);
  }, IDLE_MS);
  const ticks = repeated(() => Math.max(TICK_MS, pauseAfter(options.tick)), TICK_MS);
  const others = repeated(async () => {
    if (options.round() !== undefined) await options.others();
    return OTHERS_MS;
  }, OTHERS_MS);
  return {
    roundBegan: () => looks.in(delayOf(options.round())),
    stop() {
      for (const each of [looks, ticks, others]) each.stop();
    },
  };
}

/** Does it, and says how long its share of the time lets it rest. */
function pauseAfter(work: (atMs: Ms) => void): number {
  const atMs = monotonicMs();
  work(atMs);
  return Math.min(PAUSE_MS_MAX, (monotonicMs() - atMs) / SHARE);
}

const delayOf = (round: RoundClock | undefined): number =>
  round === undefined ? IDLE_MS : nextLook(monotonicMs() - round.sinceMs, round.expectedMs);

function repeated(work: () => Promise<number> | number, firstMs: number): Repeated {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  const plan = (delayMs: number): void => {
    clearTimeout(timer);
    if (!stopped) timer = setTimeout(run, delayMs);
  };
  const run = async (): Promise<void> => {
    const mine = timer;
    const nextMs = await work();
    // What was planned anew meanwhile stands.
    if (timer === mine) plan(nextMs);
  };
  plan(firstMs);
  return {
    in: plan,
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
