import { between, type Estimate } from './estimate.ts';
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
 * Downtime (suspend passed on → running at the destination) if the guest were suspended with `dirty` pages to send:
 *
 *   latency + (dirty + fullRate × (lift + latency) + SUSPEND_PAGES) / transfer rate + overhead
 *
 * `fullRate` is the rate at which the unthrottled guest dirties *new* pages (pages/s): between the lift of the cap and the moment it
 * stands it runs at full speed. A lift by a slow call takes effect late in it: at its end at best, after half of it at worst.
 * `liftMs`: 0 when no cap has to be lifted.
 */
export function predictDowntime(
  dirty: Estimate<Pages>,
  fullRate: Estimate<number>,
  rate: Estimate<BytesPerSecond>,
  goal: Goal,
  liftMs: Ms = goal.capabilities.liftLatencyMs,
): Estimate<Ms> {
  const latency = goal.suspendLatencyMs;
  const populated = goal.domain.populatedPages;
  const one = (d: number, full: number, runs: number, lat: number, bps: BytesPerSecond, overhead: number, own: number): Ms => {
    const last = Math.min(populated, d + (full * runs) / 1000 + own);
    return ms(lat + sendTime(pages(last), bps) + overhead);
  };
  const { low, value, high } = latency;
  return between(
    one(dirty.low, fullRate.low, low, low, rate.high, goal.overheadMs.low, SUSPEND_PAGES_LOW),
    one(dirty.value, fullRate.value, LIFT_LIKELY * liftMs + value, value, rate.value, goal.overheadMs.value, SUSPEND_PAGES),
    one(dirty.high, fullRate.high, LIFT_WORST * liftMs + high, high, rate.low, goal.overheadMs.high, SUSPEND_PAGES_HIGH),
  );
}

/** The most pages that may be dirty at the suspend request for the downtime to fit `target`; 0 when not even none fits. */
export function pagesThatFit(target: Ms, fullRate: number, rate: BytesPerSecond, goal: Goal): Pages {
  const latency = goal.suspendLatencyMs.value;
  const left = target - latency - goal.overheadMs.value;
  if (left <= 0) return pages(0);
  const sendable = left / sendTime(pages(1), rate);
  return pages(Math.max(0, sendable - (fullRate * (goal.capabilities.liftLatencyMs + latency)) / 1000 - SUSPEND_PAGES));
}

/**
 * The most pages that may be dirty at the suspend request so that even the upper predicted downtime fits `target` (it errs on every side:
 * slowest rate, longest latency and overhead); 0 when not even none fits.
 */
export function pagesThatSurelyFit(
  target: Ms,
  fullRateHigh: number,
  rateLow: BytesPerSecond,
  goal: Goal,
  liftMs: Ms = goal.capabilities.liftLatencyMs,
): Pages {
  const latency = goal.suspendLatencyMs.high;
  const left = target - latency - goal.overheadMs.high;
  if (left <= 0) return pages(0);
  const sendable = left / sendTime(pages(1), rateLow);
  return pages(Math.max(0, sendable - (fullRateHigh * (LIFT_WORST * liftMs + latency)) / 1000 - SUSPEND_PAGES_HIGH));
}
