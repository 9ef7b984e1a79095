import type { Ms } from '../core/units.ts';
import { monotonicMs } from './clock.ts';

/** How often a domain is looked at: a look pauses it for the length of the call. */
const LOOK_MS = 100;
/** A look and all that follows from it (the decision included) may take a tenth of the time: a slow dom0 is looked at less. */
const LOOK_SHARE = 0.1;
const LOOK_MS_MAX = 2000;
const TICK_MS = 1000;
const OTHERS_MS = 2000;

export interface SamplerOptions {
  /** True while a round runs. */
  readonly inRound: () => boolean;
  readonly look: (atMs: Ms) => void;
  readonly tick: (atMs: Ms) => void;
  /** Looks whether somebody else changed the cap. */
  readonly others: () => Promise<void>;
}

/** Looks, ticks, and watches for other people's changes until stopped. Nothing of it overlaps itself: the next is planned when one is over. */
export function startSampler(options: SamplerOptions): () => void {
  let stopped = false;
  const timers = new Set<NodeJS.Timeout>();
  const again = (work: () => Promise<number> | number, delayMs: number): void => {
    if (stopped) return;
    const timer = setTimeout(async () => {
      timers.delete(timer);
      const next = await work();
      again(work, next);
    }, delayMs);
    timers.add(timer);
  };
  again(() => {
    if (!options.inRound()) return LOOK_MS;
    const atMs = monotonicMs();
    options.look(atMs);
    return Math.min(LOOK_MS_MAX, Math.max(LOOK_MS, (monotonicMs() - atMs) / LOOK_SHARE));
  }, LOOK_MS);
  again(() => {
    options.tick(monotonicMs());
    return TICK_MS;
  }, TICK_MS);
  again(async () => {
    if (options.inRound()) await options.others();
    return OTHERS_MS;
  }, OTHERS_MS);
  return () => {
    stopped = true;
    for (const timer of timers) clearTimeout(timer);
  };
}
