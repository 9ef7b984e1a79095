import {
  type BytesPerSecond,
  type DirtyCurve,
  type Estimate,
  type Goal,
  type Lean,
  type PlanModel,
  shapeOf,
} from '../../src/core/index.ts';
import type { GuestView } from './guest.ts';
import { slewOf } from './preferences.ts';

/** The range of the curve is so many mean errors wide each way (log scale), and at least the noise of counting. */
const ERRORS_WIDE = 1.5;
const ERROR_MIN = 0.02;
/** Phases and noise move what the curve says from one round to the next by about so much (log scale). */
const DRIFT = 0.05;

/**
 * A course has to fit with so many times the ranges of the gate, and more where much is feared: what is planned comes out differently, and is
 * denied if it does by more than the gate allows.
 */
const CAUTION = 1;
const CAUTION_FEARED = 1;

/**
 * How much of the ranges is feared, by the live rounds that are left (this one included). Early the rounds are long, throttling them costs
 * most, and much will be known better before it matters; in the last two nothing can be put right any more.
 */
const FEAR: Readonly<Record<number, number>> = { 1: 1, 2: 1, 3: 0.5 };
/** A ramp has to begin a round earlier than a fall, and without looks into the rounds nothing is learned in time: both are feared sooner. */
const ahead = (guest: GuestView, goal: Goal): number => (slewOf(goal) > 0 ? 1 : 0) + (goal.capabilities.peek && guest.looks > 0 ? 0 : 2);
/** Where rounds can be added there is no last chance to miss: with so many left the likely is enough. */
const MANY_ROUNDS = 5;

/** 0 … 1, with so many live rounds left. */
export function fearOf(guest: GuestView, goal: Goal, roundsLeft: number): number {
  if (goal.capabilities.policy && roundsLeft >= MANY_ROUNDS) return 0;
  return FEAR[Math.max(1, roundsLeft - ahead(guest, goal))] ?? 0;
}

/** How many times the ranges have to fit. */
export const cautionBy = (fear: number): number => CAUTION + CAUTION_FEARED * fear;

/** How far off a count that is planned may be (log scale): by the curve, by pace of guest and link, and by both. */
export interface Doubt {
  readonly ofCurve: number;
  readonly ofPace: number;
  readonly all: number;
}

export function doubtOf(curve: DirtyCurve, rate: Estimate<BytesPerSecond>): Doubt {
  const ofCurve = Math.max(ERROR_MIN, ERRORS_WIDE * curve.error);
  const ofPace = Math.hypot((rate.high - rate.low) / 2 / rate.value, DRIFT);
  return { ofCurve, ofPace, all: Math.hypot(ofCurve, ofPace) };
}

/**
 * What is feared of a guest that runs free: of the doubt, the part that is about pace only makes rounds longer. Where every write hits a new
 * page that comes to the same, but a guest that has dirtied its whole working set dirties no more for it. Once throttled, all of the doubt is
 * one of counts: those are then on the steep part of the curve, and the cap errs, too.
 */
export function saturating(curve: DirtyCurve, lean: Lean, doubt: Doubt, fear: number, likely: PlanModel) {
  const part = (of: number): number => (fear * of ** 2) / doubt.all;
  const slower = Math.exp(-part(doubt.ofPace));
  return {
    shape: shapeOf(curve, lean, Math.exp(part(doubt.ofCurve))),
    pagesPerMs: likely.pagesPerMs * slower,
    pagesPerMsLater: likely.pagesPerMsLater * slower,
  };
}
