import {
  type BytesPerSecond,
  between,
  type Estimate,
  type Goal,
  ms,
  ownShare,
  type Pages,
  pageRate,
  pages,
  pagesThatFit,
  pagesThatSurelyFit,
  type Shape,
  stallOf,
} from '../../src/core/index.ts';
import { dirtyIn, type GuestView } from './guest.ts';

/** What the gate adds to a dirty count that it reads or, without a look, predicts. */
const GATE_READ = 1.03;
const GATE_READ_PAGES = 16;

/**
 * New pages per second at full speed from the suspend request until the guest stands, when `dirty` already are: the curve is steepest where
 * the log is empty.
 */
export function fullRates(shapes: Shapes, dirty: number, goal: Goal): Estimate<number> {
  const { tsliceMs, liftLatencyMs } = goal.capabilities;
  const spanMs = tsliceMs + liftLatencyMs + goal.suspendLatencyMs.value;
  const of = (shape: Shape): number => {
    const entered = Math.min(shape.workFor(dirty), shape.workMax);
    return ((shape.at(entered + spanMs) - shape.at(entered)) / spanMs) * 1000;
  };
  return between(of(shapes.low), of(shapes.value), of(shapes.high));
}

/** The curve as hoped for, as likely, and as feared. */
export interface Shapes {
  readonly low: Shape;
  readonly value: Shape;
  readonly high: Shape;
}

/** What fits the target: surely (the gate errs on every side), and at the very best. */
export function fitting(full: Estimate<number>, rate: Estimate<BytesPerSecond>, rateHoped: BytesPerSecond, demand: number, goal: Goal) {
  const target = goal.targetDowntimeMs;
  const read = (fit: number): number => Math.max(0, fit / GATE_READ - GATE_READ_PAGES);
  const { scheduler, tsliceMs } = goal.capabilities;
  const stallPages = (speed: number): number =>
    (stallOf(speed * demand, goal.domain.activeVcpus, scheduler, tsliceMs) * pageRate(rate.low)) / 1000;
  if (goal.maxDirtyPages !== undefined) {
    const most = goal.maxDirtyPages;
    const no = { stallPages: () => 0 };
    return {
      sure: { fitPages: read(most), fitPagesLifted: read(most), fitPagesFree: read(most), ...no },
      hoped: { fitPages: most, fitPagesLifted: most, fitPagesFree: most, ...no },
    };
  }
  const slicePages = ((full.high / ownShare(goal)) * goal.capabilities.tsliceMs) / 1000;
  const direct = pagesThatSurelyFit(target, full.high, rate.low, goal);
  const unlifted = pagesThatSurelyFit(target, full.high, rate.low, goal, ms(0));
  const hopedGoal: Goal = {
    ...goal,
    overheadMs: { ...goal.overheadMs, value: goal.overheadMs.low },
    suspendLatencyMs: { ...goal.suspendLatencyMs, value: goal.suspendLatencyMs.low },
  };
  const hoped = pagesThatFit(target, full.low, rateHoped, hopedGoal);
  return {
    sure: { fitPages: read(direct - slicePages), fitPagesLifted: read(direct), fitPagesFree: read(unlifted), stallPages },
    hoped: { fitPages: hoped, fitPagesLifted: hoped, fitPagesFree: hoped, stallPages: () => 0 },
  };
}

/** Pages dirty by now. `extraMs`: work on top that parking may have let pass since the last look. */
export function dirtyRange(guest: GuestView, shapes: Shapes, extraMs: number): Estimate<Pages> {
  const value = dirtyIn(guest, shapes.value);
  const high = dirtyIn(guest, shapes.high, extraMs);
  if (guest.look === undefined) return between(pages(dirtyIn(guest, shapes.low)), pages(value), pages(high));
  const read = guest.look.pages;
  const low = read * (2 - GATE_READ) + 0.7 * Math.max(0, value - read);
  return between(pages(low), pages(value), pages(read * GATE_READ + GATE_READ_PAGES + Math.max(0, high - read)));
}
