import { between, type Estimate, exactly, plus, times, widened } from './estimate.ts';
import type { Goal } from './goal.ts';
import { type BytesPerSecond, type Ms, ms, type Pages, pages, sendTime } from './units.ts';

/** The suspend itself dirties 220–400 pages (measured on Xen 4.17 with small PVH guests): a floor under the last dirty set. */
export const SUSPEND_PAGES = 300;
/** The most and the least of those measurements. */
export const SUSPEND_PAGES_HIGH = 400;
export const SUSPEND_PAGES_LOW = 220;

/** Share of the lift's time in which the guest runs at full speed already: a process starts, makes one hypercall, and ends. */
const LIFT_LIKELY = 0.25;
const LIFT_WORST = 0.5;

/**
 * The least share of full speed that a guest has once our cap is lifted: below 1 where its owner capped it. Such a guest answers a suspend
 * so much later, and let go after being parked it may run at the speed its vCPUs have, not at the mean that its own cap allows.
 */
export function ownShare({ capCeilingPercent, domain }: Goal): number {
  return Math.min(1, capCeilingPercent / (100 * domain.activeVcpus));
}

/**
 * Downtime (suspend passed on → running at the destination) if the guest were suspended with `dirty` pages to send:
 *
 *   latency + (dirty + fullRate × (run first + lift + latency) + SUSPEND_PAGES) / transfer rate + overhead
 *
 * `fullRate` is the rate at which the unthrottled guest dirties *new* pages (pages/s): between the lift of the cap and the moment it
 * stands it runs at full speed. A lift by a slow call takes effect late in it: at its end at best, after half of it at worst.
 * `liftMs`: 0 when no cap has to be lifted; `runFirstMs`: how long the guest, its cap lifted, is let run before. The range is that of errors
 * that are independent, each counted once with all that it causes.
 */
export function predictDowntime(
  dirty: Estimate<Pages>,
  fullRate: Estimate<number>,
  rate: Estimate<BytesPerSecond>,
  goal: Goal,
  liftMs: Ms = goal.capabilities.liftLatencyMs,
  runFirstMs: Ms = ms(0),
): Estimate<Ms> {
  const latency = suspendLatency(goal);
  const last = lastPages(dirty, fullRate, exactly(latency.value), goal, liftMs, runFirstMs);
  const pageMs = between(sendTime(pages(1), rate.high), sendTime(pages(1), rate.value), sendTime(pages(1), rate.low));
  const dirtiesMeanwhile = (fullRate.value / 1000) * pageMs.value;
  return plus(widened(latency, 1 + dirtiesMeanwhile), times(last, pageMs), goal.overheadMs) as Estimate<Ms>;
}

/** The pages that are then sent while the guest stands: `dirty`, what it dirties until it stands, and what the suspend itself dirties. */
export const predictLastPages = (
  dirty: Estimate<Pages>,
  fullRate: Estimate<number>,
  goal: Goal,
  liftMs: Ms = goal.capabilities.liftLatencyMs,
  runFirstMs: Ms = ms(0),
): Estimate<Pages> => lastPages(dirty, fullRate, suspendLatency(goal), goal, liftMs, runFirstMs);

function lastPages(
  dirty: Estimate<Pages>,
  fullRate: Estimate<number>,
  latency: Estimate<Ms>,
  goal: Goal,
  liftMs: Ms,
  runFirstMs: Ms,
): Estimate<Pages> {
  const runs = (liftShare: number, latencyMs: number): number => (runFirstMs + liftShare * liftMs + latencyMs) / 1000;
  const seconds = between(runs(0, latency.low), runs(LIFT_LIKELY, latency.value), runs(LIFT_WORST, latency.high));
  const running = times({ ...fullRate, high: fullRate.high / ownShare(goal) }, seconds);
  const own = between(SUSPEND_PAGES_LOW, SUSPEND_PAGES, SUSPEND_PAGES_HIGH);
  const { low, value, high } = plus<number>(dirty, running, own);
  const most = goal.domain.populatedPages;
  return between(pages(Math.min(most, low)), pages(Math.min(most, value)), pages(Math.min(most, high)));
}

/** From passing the suspend on until the guest stands: as learned, unless its owner's cap holds it back and every demand of it is full. */
function suspendLatency(goal: Goal): Estimate<Ms> {
  const { low, value, high } = goal.suspendLatencyMs;
  const share = ownShare(goal);
  return between(low, ms(value / share), ms(high / share));
}

/** The most pages that may be dirty at the suspend request for the downtime to fit `target`, or for the goal's pages; 0 when not even none fits. */
export function pagesThatFit(target: Ms, fullRate: number, rate: BytesPerSecond, goal: Goal): Pages {
  const latency = goal.suspendLatencyMs.value / ownShare(goal);
  const meanwhile = (fullRate * (goal.capabilities.liftLatencyMs + latency)) / 1000;
  if (goal.maxDirtyPages !== undefined) return pages(Math.max(0, goal.maxDirtyPages - meanwhile - SUSPEND_PAGES));
  const left = target - latency - goal.overheadMs.value;
  if (left <= 0) return pages(0);
  const sendable = left / sendTime(pages(1), rate);
  return pages(Math.max(0, sendable - meanwhile - SUSPEND_PAGES));
}

/** Steps of the search below: what it looks for is nearly linear in the pages. */
const CHORDS = 4;

/**
 * The most pages that may be dirty at the suspend request so that even the upper predicted downtime fits `target`; 0 when not even none
 * fits. `dirtyOf`: what a count stands for, as the gate will see it (its upper end no lower than the count).
 */
export function pagesThatSurelyFit(
  target: Ms,
  fullRate: Estimate<number>,
  rate: Estimate<BytesPerSecond>,
  goal: Goal,
  liftMs: Ms = goal.capabilities.liftLatencyMs,
  runFirstMs: Ms = ms(0),
  dirtyOf: (count: Pages) => Estimate<Pages> = exactly,
): Pages {
  const upper = (count: number): number => predictDowntime(dirtyOf(pages(count)), fullRate, rate, goal, liftMs, runFirstMs).high;
  return mostThatFits(target, upper, sendTime(pages(1), rate.value), goal);
}

/** The same for `most` pages sent after the suspend. */
export function pagesSurelyWithin(
  most: Pages,
  fullRate: Estimate<number>,
  goal: Goal,
  liftMs: Ms = goal.capabilities.liftLatencyMs,
  dirtyOf: (count: Pages) => Estimate<Pages> = exactly,
): Pages {
  return mostThatFits(most, (count) => predictLastPages(dirtyOf(pages(count)), fullRate, goal, liftMs).high, 1, goal);
}

/** The largest count whose upper bound is within `target`; `slope`: the least that a page adds. */
function mostThatFits(target: number, upper: (count: number) => number, slope: number, goal: Goal): Pages {
  let low = 0;
  let lowUpper = upper(0);
  if (lowUpper > target) return pages(0);
  const most = Math.min(goal.domain.populatedPages, (target - lowUpper) / slope);
  const mostUpper = upper(most);
  if (mostUpper <= target) return pages(most);
  // The range widens with the pages, so that a chord lies above and each step on the safe side; but for the clamp, which the gate sees to.
  for (let k = 0; k < CHORDS && mostUpper > lowUpper; k++) {
    low += ((most - low) * (target - lowUpper)) / (mostUpper - lowUpper);
    lowUpper = upper(low);
  }
  return pages(low);
}
