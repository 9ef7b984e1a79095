import { lastRound } from './last-round.ts';
import { after, FRESH, type PlanModel, type PlanStart, type RoundAhead } from './round-ahead.ts';

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

/** More than any lost work, and the more the later: who is late in any case goes the shortest way. */
const LATE_COST = 1e7;
const LATE_MS = 100_000;

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
    const late = course.timeMs > deadlineMs ? LATE_COST * (1 + (course.timeMs - deadlineMs) / LATE_MS) : 0;
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
