import { nextLook } from '../core/looks.ts';
import type { Ms } from '../core/units.ts';
import { monotonicMs } from './clock.ts';

/** Outside of rounds there is nothing to look at; so long until it is asked again. */
const IDLE_MS = 100;
/** A look and all that follows from it (the decision included) may take a tenth of the time: a slow dom0 is looked at less. */
const LOOK_SHARE = 0.1;
const LOOK_MS_MAX = 2000;
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
    const before = options.round();
    if (before === undefined) return IDLE_MS;
    const atMs = monotonicMs();
    options.look(atMs);
    const tookMs = monotonicMs() - atMs;
    return Math.min(LOOK_MS_MAX, Math.max(delayOf(options.round()), tookMs / LOOK_SHARE));
  }, IDLE_MS);
  const ticks = repeated(() => {
    options.tick(monotonicMs());
    return TICK_MS;
  }, TICK_MS);
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
