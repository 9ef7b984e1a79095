import { dirtiedAfter, dirtiedFrom, type Shape } from './dirty-curve.ts';

/** The guest, the link and what is to be reached, as a plan needs them. Speed is the share of its demand that the guest gets, 0 … 1. */
export interface PlanModel {
  readonly shape: Shape;
  readonly deviceShare: number;
  /** Link, pages per ms. */
  readonly pagesPerMs: number;
  readonly floorSpeed: number;
  /** From one round to the next the mean speed may fall to this share of itself; 0: straight to the floor. */
  readonly slew: number;
  /** Time until a new speed is in force. */
  readonly latencyMs: number;
  /** Most pages that may be dirty at the suspend request after a throttled round. */
  readonly fitPages: number;
  /** The same after a free one: no stall joins the downtime. */
  readonly fitPagesFree: number;
  /** Work that parking may add to a round by bad luck, ms at the floor. */
  readonly jitterMs: number;
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

/** One way to go on. */
export interface Course {
  /** Rounds from now until the speed starts to fall; negative: it is falling already. */
  readonly fallAt: number;
  /** Speed for the rest of this round. */
  readonly speed: number;
  /** Guest time lost from now on, ms: Σ (1 − speed) × time. */
  readonly lostMs: number;
  readonly timeMs: number;
  /** Rounds from now, this one included. */
  readonly rounds: number;
  readonly lastPages: number;
  readonly fits: boolean;
}

/** Shortest round there is: counting and clearing take that long, ms. */
const ROUND_MS_MIN = 1;

/** Speed in the i-th round from now on a course that starts to fall at `fallAt`, before any limit. */
function wished(i: number, fallAt: number, slew: number, floor: number): number {
  if (i <= fallAt) return 1;
  return Math.max(floor, (slew > 0 ? slew : floor) ** (i - fallAt));
}

/** Follows one course to its end: the mean speed falls by the slew limit from `fallAt` on, and the last round is as fast as still fits. */
export function follow(model: PlanModel, start: PlanStart, fallAt: number): Course {
  let dirty = 0;
  let lostMs = 0;
  let timeMs = 0;
  let before = start.speedBefore;
  let inForce = start.speedNow;
  let first = 1;
  let pagesToSend = start.pagesLeft;
  for (let i = 0; i < start.roundsLeft; i++) {
    const spanMs = Math.max(ROUND_MS_MIN, pagesToSend / model.pagesPerMs);
    const limit = Math.max(model.floorSpeed, model.slew * before);
    const sofar = i === 0 ? start : { dirtyPages: 0, workMs: 0, timeMs: 0 };
    const lagMs = Math.min(model.latencyMs, spanMs);
    const after = (speed: number): number => {
      const lag = speed === inForce ? 0 : (inForce - speed) * lagMs;
      const work = Math.min(spanMs, speed * spanMs + lag + (speed < 1 ? model.jitterMs : 0));
      return sofar.timeMs > 0
        ? dirtiedFrom(model.shape, model.deviceShare, sofar.dirtyPages, sofar, work, spanMs)
        : dirtiedAfter(model.shape, model.deviceShare, work, spanMs);
    };
    let speed = Math.max(limit, wished(i, fallAt, model.slew, model.floorSpeed));
    let next = after(speed);
    const last = i === start.roundsLeft - 1 || (start.openEnded && after(limit) <= model.fitPages);
    if (last) {
      speed = after(1) <= model.fitPagesFree ? 1 : fastest(after, limit, model.fitPages);
      next = after(speed);
    }
    if (i === 0) first = speed;
    lostMs += (1 - speed) * spanMs;
    timeMs += spanMs;
    dirty = next;
    const fits = dirty <= (speed === 1 ? model.fitPagesFree : model.fitPages);
    if (last) return { fallAt, speed: first, lostMs, timeMs, rounds: i + 1, lastPages: dirty, fits };
    before = (sofar.workMs + speed * spanMs) / (sofar.timeMs + spanMs);
    inForce = speed;
    pagesToSend = dirty;
  }
  return { fallAt, speed: first, lostMs, timeMs, rounds: 0, lastPages: dirty, fits: dirty <= model.fitPagesFree };
}

/** The highest speed of at least `limit` after which at most `most` pages are dirty; `limit` when none is. */
function fastest(after: (speed: number) => number, limit: number, most: number): number {
  let low = limit;
  let high = 1;
  for (let k = 0; k < 10; k++) {
    const middle = (low + high) / 2;
    if (after(middle) <= most) low = middle;
    else high = middle;
  }
  return low;
}

/** The course that dirties least at the end: as low as the slew limit allows, from now on. */
export const lowest = (model: PlanModel, start: PlanStart): Course => follow(model, start, -depth(model) - 1);

/** Free to the end. */
export const free = (model: PlanModel, start: PlanStart): Course => follow(model, start, start.roundsLeft);

/** Rounds it takes to fall from full speed to the floor. */
const depth = (model: PlanModel): number =>
  model.floorSpeed >= 1 ? 0 : model.slew > 0 ? Math.log(model.floorSpeed) / Math.log(model.slew) : 1;

/** Finer than this the cost no longer tells courses apart. */
const STEP_ROUNDS = 0.25;
/** With open-ended rounds nobody plans a fall further ahead: by then the guest has changed. */
const AHEAD_MAX = 4;

export interface Weights {
  /** What a second of migration costs, in seconds of lost work (bytes go with time: the link is busy all along). */
  readonly time: number;
  /** Factor on the cost of running free again once the speed is falling: letting go and falling again pays twice. */
  readonly release: number;
  /** Factor on the cost of courses that keep the speed in force. */
  readonly change: number;
}

/** Speeds this close are the same. */
const SAME_SPEED = 0.12;

/**
 * The cheapest course: least lost work plus weighted time by the likely model, among those that fit by the cautious one too. Without any
 * that is safe: those that fit by the likely model; without those the lowest. `deadlineMs`: time left.
 */
export function cheapest(likely: PlanModel, cautious: PlanModel, start: PlanStart, weights: Weights, deadlineMs: number): Course {
  const from = -Math.ceil(depth(likely)) - 1;
  const to = start.openEnded ? Math.min(AHEAD_MAX, start.roundsLeft) : start.roundsLeft;
  let best: Course | undefined;
  let bestCost = Number.POSITIVE_INFINITY;
  for (let fallAt = from; fallAt <= to; fallAt += STEP_ROUNDS) {
    const safe = follow(cautious, start, fallAt);
    const course = follow(likely, start, fallAt);
    const late = course.timeMs > deadlineMs ? 1e7 : 0;
    const misses = (safe.fits ? 0 : 1e9) + (course.fits ? 0 : 1e12 + course.lastPages * 1e3);
    // The speed of the round that runs is the cautious one: it is the last chance to be wrong about it.
    const lost = fallAt >= 0 && course.lostMs > 0 ? course.lostMs * weights.release : course.lostMs;
    const stays = Math.abs(course.speed - start.speedNow) < SAME_SPEED * start.speedNow ? weights.change : 1;
    const cost = stays * (lost + weights.time * course.timeMs) + late + misses;
    if (cost < bestCost) {
      best = { ...course, speed: Math.min(course.speed, safe.speed), fits: safe.fits };
      bestCost = cost;
    }
  }
  return best ?? lowest(likely, start);
}
