import {
  type BytesPerSecond,
  between,
  type Estimate,
  exactly,
  type Goal,
  type Ms,
  ms,
  type Pages,
  pageRate,
  pages,
  pagesSurelyWithin,
  pagesThatFit,
  pagesThatSurelyFit,
  plus,
  type Shape,
  stallOf,
  widened,
} from '../../src/core/index.ts';
import { dirtyIn, type GuestView } from './guest.ts';

/** What the gate adds to a dirty count that it reads or, without a look, predicts. */
const GATE_READ = 1.03;
const GATE_READ_PAGES = 16;

/** What nobody has looked at errs by more than what the curve has erred by where it was seen. */
const UNSEEN = 1.5;

/** What the gate makes of a count of pages. */
const gateReads = (count: number): Estimate<Pages> =>
  between(pages(count * (2 - GATE_READ)), pages(count), pages(count * GATE_READ + GATE_READ_PAGES));

/**
 * New pages per second at full speed from the suspend request until the guest stands, when `dirty` already are: the curve is steepest where
 * the log is empty.
 */
export function fullRates(shapes: Shapes, dirty: number, goal: Goal): Estimate<number> {
  const { runFirstMs, liftLatencyMs } = goal.capabilities;
  const spanMs = runFirstMs + liftLatencyMs + goal.suspendLatencyMs.value;
  const of = (shape: Shape): number => {
    const entered = Math.min(shape.workFor(dirty), shape.workMax);
    return ((shape.at(entered + spanMs) - shape.at(entered)) / spanMs) * 1000;
  };
  return between(of(shapes.low), of(shapes.value), of(shapes.high));
}

/** What fits is fewer the faster they become more, and those become more the faster the fewer they are: a few steps down from the most. */
const STEPS_TO_FIT = 4;

/** The rates when as many pages are dirty as just fit: at a round's start few are, and that says nothing of the suspension. */
export function ratesWhereItFits(ratesAt: (dirty: number) => Estimate<number>, rate: BytesPerSecond, goal: Goal): Estimate<number> {
  let count: number = pagesThatFit(goal.targetDowntimeMs, 0, rate, goal);
  for (let k = 0; k < STEPS_TO_FIT; k++) count = pagesThatFit(goal.targetDowntimeMs, ratesAt(count).value, rate, goal);
  return ratesAt(count);
}

/** The curve as hoped for, as likely, and as feared. */
export interface Shapes {
  readonly low: Shape;
  readonly value: Shape;
  readonly high: Shape;
}

/**
 * What fits the target: surely, and at the very best. `caution`: how many times the range of what moves until then (count, rate) has to fit;
 * the fixed costs are then as uncertain as they are now.
 */
export function fitting(
  full: Estimate<number>,
  rate: Estimate<BytesPerSecond>,
  rateHoped: BytesPerSecond,
  demand: number,
  goal: Goal,
  caution: number,
) {
  const target = goal.targetDowntimeMs;
  const { scheduler, tsliceMs } = goal.capabilities;
  const stallPages = (speed: number): number =>
    (stallOf(speed * demand, goal.domain.activeVcpus, scheduler, tsliceMs) * pageRate(rate.low)) / 1000;
  const [fullThen, rateThen] = [widened(full, caution), widened(rate, caution)];
  const then = (count: Pages): Estimate<Pages> => widened(gateReads(count), caution);
  if (goal.maxDirtyPages !== undefined) {
    const { maxDirtyPages } = goal;
    const within = (liftMs?: Ms): number => pagesSurelyWithin(maxDirtyPages, fullThen, goal, liftMs, then);
    const hoped = pagesSurelyWithin(maxDirtyPages, exactly(full.low), goal);
    return { sure: fitOf(within(), within(ms(0))), hoped: fitOf(hoped, hoped) };
  }
  const most = (liftMs: Ms | undefined, runFirstMs = ms(0)): number =>
    pagesThatSurelyFit(target, fullThen, rateThen, goal, liftMs, runFirstMs, then);
  // Guest and link may turn out better than they were seen; what switching over costs stays as uncertain as it is, and the gate reckons with it.
  const hoped = pagesThatSurelyFit(target, exactly(full.low), exactly(rateHoped), goal);
  return {
    sure: {
      // Less is let run where it is seen to run (run-first.ts): a course has the rest of the slice to spare for what comes out differently.
      fitPages: most(undefined, tsliceMs),
      fitPagesLifted: most(undefined),
      fitPagesFree: most(ms(0)),
      stallPages,
    },
    hoped: { fitPages: hoped, fitPagesLifted: hoped, fitPagesFree: hoped, stallPages: () => 0 },
  };
}

/** What fits a target of pages: no stall joins it, and the guest is not let run first. */
const fitOf = (lifted: number, free: number) => ({ fitPages: lifted, fitPagesLifted: lifted, fitPagesFree: free, stallPages: () => 0 });

/** Pages dirty by now. `extraMs`: work on top that parking may have let pass since the last look. */
export function dirtyRange(guest: GuestView, shapes: Shapes, extraMs: number): Estimate<Pages> {
  const value = dirtyIn(guest, shapes.value);
  const high = dirtyIn(guest, shapes.high, extraMs);
  if (guest.look === undefined) return between(pages(dirtyIn(guest, shapes.low)), pages(value), pages(value + UNSEEN * (high - value)));
  const read = guest.look.pages;
  const more = Math.max(0, value - read);
  const since = between(0.7 * more, more, Math.max(0, high - read));
  return plus<number>(gateReads(read), since) as Estimate<Pages>;
}
