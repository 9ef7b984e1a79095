import { shapeOf } from '../core/dirty-curve.ts';
import { type Ms, ms, pageRate } from '../core/units.ts';
import type { Candidate, DirtyKnown, Prediction, PredictOptions } from './candidate.ts';

/** Each round may be slower by at most this: the slew limit of the profile `progressive`. */
const SLEW = 0.5;
/** A free round that leaves more than this share of the one before has not helped. */
const HELPED = 0.9;

/** Unique pages that a guest dirties in so many ms of full-speed work, at most all of its memory. */
export function dirtier({ curve }: DirtyKnown, memoryPages: number): (workMs: number) => number {
  const shape = shapeOf(curve);
  return (workMs) => Math.min(memoryPages, shape.at(workMs));
}

type Guest = Pick<Candidate, 'memoryPages' | 'dirty' | 'floorSpeed'>;

/**
 * A migration of this guest in outline: free rounds while they help, then slower by half a round down to the floor, until what is left fits
 * the target. No noise and no parking: good enough to put guests in order and to say roughly how long it will take.
 */
export function predict({ memoryPages, dirty, floorSpeed }: Guest, options: PredictOptions): Prediction {
  const perMs = pageRate(options.rate) / 1000;
  const timeOf = (count: number): number => count / perMs;
  if (dirty === undefined) return { timeMs: ms(timeOf(memoryPages) + options.aroundMs), rounds: 1, pages: memoryPages };
  const dirtied = dirtier(dirty, memoryPages);
  const fits = Math.max(0, (options.targetDowntimeMs - options.fixedMs) * perMs);
  let toSend: number = memoryPages;
  let sent = 0;
  const floor = floorSpeed ?? options.floorSpeed;
  let speed = 1;
  let round = 0;
  let timeMs = options.aroundMs as number;
  while (round < options.roundsMax) {
    const took = timeOf(toSend);
    const left = dirtied(speed * took);
    timeMs += took;
    sent += toSend;
    round += 1;
    const stuck = left > HELPED * toSend && speed <= floor;
    if (left > HELPED * toSend || (round > 1 && left > fits)) speed = Math.max(floor, speed * SLEW);
    toSend = left;
    if (left <= fits || stuck) break;
  }
  const downtimeMs = ms(options.fixedMs + timeOf(toSend));
  return { timeMs: ms(timeMs + downtimeMs), downtimeMs, rounds: round, pages: sent + toSend };
}

/** Rounds at the floor after which the dirty set has settled. */
const SETTLED_ROUNDS = 200;

/**
 * The least downtime there is for this guest: what the lowest cap leaves when it is kept for as many rounds as it takes. undefined where
 * nothing is known of its writes.
 */
export function leastDowntime({ dirty, memoryPages, floorSpeed }: Guest, options: PredictOptions): Ms | undefined {
  if (dirty === undefined) return undefined;
  const perMs = pageRate(options.rate) / 1000;
  const dirtied = dirtier(dirty, memoryPages);
  let left: number = memoryPages;
  for (let round = 0; round < SETTLED_ROUNDS; round++) left = dirtied(((floorSpeed ?? options.floorSpeed) * left) / perMs);
  return ms(options.fixedMs + left / perMs);
}

/** When each of these would be over if they left one after the other, `lanes` at a time. */
export function finishTimes(timesMs: readonly number[], lanes: number): readonly Ms[] {
  const free = Array.from({ length: Math.max(1, lanes) }, () => 0);
  return timesMs.map((time) => {
    const lane = free.indexOf(Math.min(...free));
    free[lane] = (free[lane] as number) + time;
    return ms(free[lane] as number);
  });
}
