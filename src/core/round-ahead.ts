import { dirtiedAfter, dirtiedFrom, type Shape } from './dirty-curve.ts';

/** The guest, the link and what is to be reached, as a plan needs them. Speed is the share of its demand that the guest gets, 0 … 1. */
export interface PlanModel {
  readonly shape: Shape;
  readonly deviceShare: number;
  /** Link, pages per ms, in the round that runs and in later ones. */
  readonly pagesPerMs: number;
  readonly pagesPerMsLater: number;
  readonly floorSpeed: number;
  /** From one round to the next the mean speed may fall to this share of itself; 0: straight to the floor. */
  readonly slew: number;
  /** Time until a new speed is in force. */
  readonly latencyMs: number;
  /** Most pages that may be dirty at the suspend request after a throttled round, with a slice of running before the suspend. */
  readonly fitPages: number;
  /** … without that slice, when no stall joins the downtime, … */
  readonly fitPagesLifted: number;
  /** … and what a last stall at that speed takes off it, pages. */
  stallPages(speed: number): number;
  /** The same after a free one: no stall joins the downtime. */
  readonly fitPagesFree: number;
  /** Work that a throttled guest does between two stalls, ms; 0: as if it ran evenly. */
  readonly onTimeMs: number;
  /** The dirty count can be read inside the round. */
  readonly looks: boolean;
  /** A free end of the last round is at least this long, ms: the guest has run for a slice before it is suspended. */
  readonly tailMs: number;
}

/** Where a migration stands inside its current round. */
export interface PlanStart {
  readonly pagesLeft: number;
  readonly dirtyPages: number;
  readonly workMs: number;
  readonly timeMs: number;
  /** Mean speed of the round before (1 before the first). */
  readonly speedBefore: number;
  /** Speed in force. */
  readonly speedNow: number;
  /** Live rounds left, this one included. */
  readonly roundsLeft: number;
  /** The policy is ours: the rounds end as soon as the dirty set fits. */
  readonly openEnded: boolean;
}

/** A round to come: how long it takes, how low the mean speed may be, and how it begins. */
export interface RoundAhead {
  readonly spanMs: number;
  readonly limit: number;
  readonly inForce: number;
  readonly sofar: Pick<PlanStart, 'dirtyPages' | 'workMs' | 'timeMs'>;
}

/** Nothing done yet. */
export const FRESH = { dirtyPages: 0, workMs: 0, timeMs: 0 };

/** Pages dirty at the end of a round that goes on at `speed`. */
export function after(model: PlanModel, { spanMs, inForce, sofar }: RoundAhead, speed: number, unlucky = false): number {
  const lag = (inForce - speed) * Math.min(model.latencyMs, spanMs);
  const work = Math.min(spanMs, speed * spanMs + lag + (unlucky ? luckMs(speed, spanMs, model.onTimeMs) : 0));
  return sofar.timeMs > 0
    ? dirtiedFrom(model.shape, model.deviceShare, sofar.dirtyPages, sofar, work, spanMs)
    : dirtiedAfter(model.shape, model.deviceShare, work, spanMs);
}

/**
 * How far parking can carry a guest's work in `spanMs` above its mean: run for `onTimeMs` at a time, parked in between, the span begins with
 * a run at worst.
 */
export function luckMs(speed: number, spanMs: number, onTimeMs: number): number {
  if (speed >= 1 || speed <= 0 || onTimeMs <= 0) return 0;
  const cycleMs = onTimeMs / speed;
  const restMs = spanMs - Math.floor(spanMs / cycleMs) * cycleMs;
  return Math.max(0, Math.min(restMs, onTimeMs) - speed * restMs);
}
