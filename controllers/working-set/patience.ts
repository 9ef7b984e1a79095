import { type Course, cheapest, type Goal, type PlanModel, type PlanStart, type Track } from '../../src/core/index.ts';
import type { GuestView } from './guest.ts';
import { weightsOf } from './preferences.ts';

/**
 * Waiting for a lull. The calm is the guest at its calmest and the link at its fastest, as seen lately in this migration. When throttling now
 * would cost much more than it would then, and the rounds are ours to prolong, the guest runs free a while longer.
 */
export interface Patience {
  /** The best transfer rate lately, bytes/s; forgotten slowly. */
  readonly rateBest: number;
  /** Since when we wait; absent while we don't. */
  readonly sinceMs?: number;
  /** Waited in all, ms. */
  readonly waitedMs: number;
}

export const NO_PATIENCE_USED: Patience = { rateBest: 0, waitedMs: 0 };

/** The best rate fades with this time constant: a link that sags now and then comes back within it. */
const RATE_FADES_MS = 60_000;
/** A link is not believed to be faster than its mean by more than this: what a buffer takes in a burst it does not carry. */
const MEAN_FACTOR = 1.2;
/** Waiting must save at least this share of the work that throttling now would lose (once begun: this one), … */
const SAVES = 0.4;
const SAVES_WAITING = 0.2;
/** … and of the guest's time so far; … */
const WORTH_WAITING = 0.01;
/** … and the time must be unusual: the dirty set of a round this much above the calm one, or the rate this much below the best. */
const BUSIER = 1.35;
const SLOWER = 0.75;
/** The sum of all waiting: what the first round took, at least so long. */
const WAIT_MS_MIN = 15_000;
/**
 * Rounds that have to be left beyond those that the lowest course needs, calm or not; while we wait already fewer, and once the speed falls
 * more: going back and forth would lose work and wait for nothing.
 */
const SPARE_ROUNDS = { waiting: 1, free: 2, falling: 3 };

/** Remembers the best rate and how long was waited. */
export function bide(before: Patience, track: Track, elapsedMs: number, waits: boolean): Patience {
  const rate = Math.min(track.transferRate?.value ?? 0, MEAN_FACTOR * (track.rateLong?.mean ?? 0));
  const rateBest = Math.max(rate, before.rateBest * Math.exp(-elapsedMs / RATE_FADES_MS));
  const waitedMs = before.waitedMs + (before.sinceMs === undefined ? 0 : elapsedMs);
  return waits ? { rateBest, waitedMs, sinceMs: before.sinceMs ?? track.atMs } : { rateBest, waitedMs };
}

export interface Calm {
  readonly course: Course;
  /** Dirty set of a round like this one, now against calm. */
  readonly busier: number;
  readonly slower: number;
}

/** What it would cost had this round been calm and free so far, which is how the waiting would end; undefined where the rounds are not ours. */
export function calmOf(likely: PlanModel, calm: PlanModel, start: PlanStart, goal: Goal): Calm | undefined {
  if (!start.openEnded) return undefined;
  const { timeMs } = start;
  const ranFree: PlanStart = { ...start, dirtyPages: calm.shape.at(timeMs), workMs: timeMs, speedNow: 1, speedBefore: 1 };
  const course = cheapest(calm, calm, ranFree, ranFree, weightsOf(goal, false), Number.POSITIVE_INFINITY);
  const spanMs = Math.max(50, start.pagesLeft / likely.pagesPerMs + start.timeMs);
  return { course, busier: likely.shape.at(spanMs) / Math.max(1, calm.shape.at(spanMs)), slower: likely.pagesPerMs / calm.pagesPerMs };
}

/** Whether to let the guest run on, for a calm that was seen: falling later loses no more work than falling now while there are rounds to spare. */
export function worthWaiting(patience: Patience, calm: Calm, view: Ahead, guest: GuestView, track: Track, falling: boolean): boolean {
  const { course, best, start } = view;
  const elapsedMs = track.atMs - track.startedAtMs;
  if (guest.round < 1 || course.lostMs < WORTH_WAITING * elapsedMs) return false;
  const firstRoundMs = (track.rounds.find((r) => r.round === 0)?.endedAtMs ?? track.atMs) - track.startedAtMs;
  const seen = calm.busier >= BUSIER || calm.slower <= SLOWER;
  if (!seen || patience.waitedMs > Math.max(WAIT_MS_MIN, firstRoundMs)) return false;
  const waits = patience.sinceMs !== undefined;
  const needed = Math.max(calm.course.rounds, best.fits ? best.rounds : 0);
  const spare = SPARE_ROUNDS[waits ? 'waiting' : falling ? 'falling' : 'free'];
  if (!calm.course.fits || start.roundsLeft < needed + spare) return false;
  return !course.fits || course.lostMs - calm.course.lostMs > (waits ? SAVES_WAITING : SAVES) * course.lostMs;
}

interface Ahead {
  readonly course: Course;
  readonly best: Course;
  readonly start: PlanStart;
}
