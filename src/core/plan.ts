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
export function follow(
  model: PlanModel,
  start: PlanStart,
  fallAt: number,
  tooDear: (lostMs: number, timeMs: number) => boolean = never,
): Course {
  let dirty = 0;
  let lostMs = 0;
  let timeMs = 0;
  let before = start.speedBefore;
  let inForce = start.speedNow;
  let first = 1;
  let pagesToSend = start.pagesLeft;
  for (let i = 0; i < start.roundsLeft; i++) {
    const spanMs = Math.max(ROUND_MS_MIN, pagesToSend / (i === 0 ? model.pagesPerMs : model.pagesPerMsLater));
    const limit = Math.max(model.floorSpeed, model.slew * before);
    const round: RoundAhead = { spanMs, limit, inForce, sofar: i === 0 ? start : FRESH };
    let speed = Math.max(limit, wished(i, fallAt, model.slew, model.floorSpeed));
    const end = i === start.roundsLeft - 1 || start.openEnded ? lastRound(model, round) : undefined;
    const last = i === start.roundsLeft - 1 || (end?.fits === true && (speed < 1 || end.speed === 1));
    let mean = speed;
    if (last && end !== undefined) {
      speed = end.now;
      mean = end.speed;
    }
    if (i === 0) first = speed;
    lostMs += (1 - mean) * spanMs;
    timeMs += spanMs;
    if (last && end !== undefined) return { fallAt, speed: first, lostMs, timeMs, rounds: i + 1, lastPages: end.pages, fits: end.fits };
    if (tooDear(lostMs, timeMs)) break;
    dirty = after(model, round, speed);
    before = (round.sofar.workMs + speed * spanMs) / (round.sofar.timeMs + spanMs);
    inForce = speed;
    pagesToSend = dirty;
  }
  return { fallAt, speed: first, lostMs, timeMs, rounds: 0, lastPages: dirty, fits: false };
}

const never = (): boolean => false;

interface RoundAhead {
  readonly spanMs: number;
  readonly limit: number;
  readonly inForce: number;
  readonly sofar: Pick<PlanStart, 'dirtyPages' | 'workMs' | 'timeMs'>;
}

const FRESH = { dirtyPages: 0, workMs: 0, timeMs: 0 };

/** Pages dirty at the end of a round that goes on at `speed`. */
function after(model: PlanModel, { spanMs, inForce, sofar }: RoundAhead, speed: number, unlucky = false): number {
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

interface LastRound {
  /** Speed at once, and mean of the round. */
  readonly now: number;
  readonly speed: number;
  readonly pages: number;
  readonly fits: boolean;
}

/** Most pages that may be dirty after a round at `speed` that was not let go: either the last stall joins the downtime, or a slice is run. */
const throttledFit = (model: PlanModel, speed: number): number => Math.max(model.fitPages, model.fitPagesLifted - model.stallPages(speed));

/**
 * How a last round goes: free when that fits; else slow first and free as soon as the rest of the round may be. So no parking
 * blurs the count at its end and no stall joins the downtime; what it costs is the same, in whichever order. Where that does not fit, an even
 * speed: the lower it is the less is dirty and the longer the stall that joins the downtime. With looks into the round the lowest that
 * fits is taken (it is let go later), without them the highest.
 */
function lastRound(model: PlanModel, round: RoundAhead): LastRound {
  const { spanMs, limit, inForce, sofar } = round;
  // Most rounds ahead are hopeless: what even the lowest speed leaves is more than fits in any way.
  const least = after(model, round, limit);
  if (least > Math.max(model.fitPages, model.fitPagesLifted, model.fitPagesFree))
    return { now: limit, speed: limit, pages: least, fits: false };
  const held = model.looks && inForce < 1;
  const freePages = after(model, round, 1);
  const even = limit >= 1 ? undefined : evenly(model, round);
  const inTime = !held || spanMs >= model.latencyMs + FREE_MS_MIN;
  // Now or never, where no throttled end would do.
  const wary = held && (even !== undefined || spanMs > URGENT * model.tailMs);
  const most = (wary ? 1 - LET_GO : 1) * model.fitPagesFree;
  const doubt = held ? LET_GO_DOUBT * (freePages - sofar.dirtyPages) : 0;
  if (inTime && freePages + doubt <= most) return { now: 1, speed: 1, pages: freePages, fits: true };
  if (limit >= 1) return { now: 1, speed: 1, pages: freePages, fits: false };
  const tail = limit + (1 - limit) * Math.min(1, model.tailMs / spanMs);
  const released = model.looks ? after(model, round, tail) : Number.POSITIVE_INFINITY;
  if (released <= most) {
    const speed = fastest((s) => after(model, round, s), tail, most);
    return { now: beforeTheEnd(model, round, speed), speed, pages: after(model, round, speed), fits: true };
  }
  return even ?? { now: limit, speed: limit, pages: least, fits: false };
}

/**
 * The speed before the free end of a round of mean `speed`: the one in force if it is low enough, else a little lower than the mean says, as
 * what goes wrong is to be put right. The floor for a moment would say the same on paper, but a parked guest stays parked for a while.
 */
function beforeTheEnd({ tailMs }: PlanModel, { spanMs, inForce, limit }: RoundAhead, speed: number): number {
  const tail = Math.min(1, tailMs / spanMs);
  const before = tail >= 1 ? 0 : (speed - tail) / (1 - tail);
  return inForce <= before ? inForce : Math.max(limit, 1 - DEEPER * (1 - before));
}
const DEEPER = 1.5;

/** Speeds tried for a last round that is not let go. */
const EVEN_SPEEDS = 7;

/** An even speed down to the limit after which the dirty set fits, the last stall included; undefined when there is none. */
function evenly(model: PlanModel, round: RoundAhead): LastRound | undefined {
  for (let k = 0; k < EVEN_SPEEDS; k++) {
    const part = (model.looks ? k : EVEN_SPEEDS - 1 - k) / EVEN_SPEEDS;
    const speed = round.limit ** (1 - part);
    if (after(model, round, speed, true) > throttledFit(model, speed)) continue;
    return { now: speed, speed, pages: after(model, round, speed), fits: true };
  }
  return undefined;
}

/** A last round is let go with this share of what fits to spare, and this share of what is still to be dirtied: rate and guest move until the suspend. */
const LET_GO = 0.04;
const LET_GO_DOUBT = 0.15;
/** A guest that is let go runs at least so long before it is suspended, or it was not let go. */
const FREE_MS_MIN = 5;
/** … but with less than so many free ends of time left it is now or never. */
const URGENT = 1.6;

/** The highest speed of at least `limit` after which at most `most` pages are dirty; `limit` when none is. */
function fastest(dirtied: (speed: number) => number, limit: number, most: number): number {
  let low = limit;
  let high = 1;
  for (let k = 0; k < 8; k++) {
    const middle = (low + high) / 2;
    if (dirtied(middle) <= most) low = middle;
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

/** With a slew limit the ramp can start anywhere. Straight to the floor, only the running round may be part of the way: slack is for the last. */
function coursesOf(model: PlanModel, start: PlanStart): readonly number[] {
  const to = start.openEnded ? Math.min(AHEAD_MAX, start.roundsLeft) : start.roundsLeft;
  const all = Array.from({ length: 1 + 4 * (to + Math.ceil(depth(model)) + 1) }, (_, k) => k / 4 - Math.ceil(depth(model)) - 1);
  return model.slew > 0 ? all : all.filter((fallAt) => fallAt >= -1 && (fallAt <= 0 || Number.isInteger(fallAt)));
}
/** With open-ended rounds nobody plans a fall further ahead: by then the guest has changed. */
const AHEAD_MAX = 4;

export interface Weights {
  /** What a second of migration costs, in seconds of lost work (bytes go with time: the link is busy all along). */
  readonly time: number;
  /** Factor on the cost of running free again once the speed is falling: letting go and falling again pays twice. */
  readonly release: number;
  /** Factor on the cost of courses that keep a throttled speed in force. */
  readonly change: number;
}

/** Once falling, another free round must leave at most this share of what fits by the cautious model. */
const RELEASE_SHARE = 0.8;

/** A cap that bites parks the guest at least once, however little it is to take away, ms. */
const ENGAGE_MS = 20;

/** More than any course can lose or take. */
const MISS_COST = 1e9;

/** Speeds this close are the same. */
const SAME_SPEED = 0.12;

/**
 * The cheapest course: least lost work plus weighted time by the likely model, among those that fit by the cautious one. When none is
 * safe, the one that leaves least. `deadlineMs`: time left.
 */
export function cheapest(
  likely: PlanModel,
  cautious: PlanModel,
  start: PlanStart,
  cautiousStart: PlanStart,
  weights: Weights,
  deadlineMs: number,
): Course {
  let best: Course | undefined;
  let bestCost = Number.POSITIVE_INFINITY;
  for (const fallAt of coursesOf(likely, start)) {
    const safe = follow(cautious, cautiousStart, fallAt);
    // Cost only grows along a course: one that has reached the best one's is not followed to its end.
    if (!safe.fits && bestCost < MISS_COST) continue;
    const cheaper = Math.min(1, weights.change);
    const course = follow(likely, start, fallAt, (lostMs, timeMs) => cheaper * (lostMs + weights.time * timeMs) >= bestCost);
    const late = course.timeMs > deadlineMs ? 1e7 : 0;
    const close =
      fallAt >= 0 && weights.release > 1 && safe.speed >= 1 && safe.rounds > 1 && safe.lastPages > RELEASE_SHARE * cautious.fitPages;
    const misses = safe.fits && !close ? 0 : MISS_COST * (1 + safe.lastPages);
    // The speed of the round that runs is the cautious one: it is the last chance to be wrong about it.
    const lost = fallAt >= 0 && course.lostMs > 0 ? course.lostMs * weights.release : course.lostMs;
    // Not for a free guest: there staying as it is would be to put off the fall.
    const stays = start.speedNow < 1 && Math.abs(course.speed - start.speedNow) < SAME_SPEED * start.speedNow ? weights.change : 1;
    const engages = start.speedNow >= 1 && course.speed < 1 ? ENGAGE_MS : 0;
    const cost = stays * (lost + engages + weights.time * course.timeMs) + late + misses;
    if (cost < bestCost) {
      best = { ...course, speed: Math.min(course.speed, safe.speed), fits: safe.fits };
      bestCost = cost;
    }
  }
  return best ?? lowest(likely, start);
}
