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
 * The least share of full speed that a guest has once our cap is lifted: below 1 where its owner capped it. Such a guest answers a suspend
 * so much later, and let go after being parked it may run at the speed its vCPUs have, not at the mean that its own cap allows.
 */
export function ownShare({ capCeilingPercent, domain }: Goal): number {
  return Math.min(1, capCeilingPercent / (100 * domain.activeVcpus));
}

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
  const { low, value, high } = suspendLatency(goal);
  const { overheadMs } = goal;
  const last = predictLastPages(dirty, fullRate, goal, liftMs);
  return between(
    ms(low + sendTime(last.low, rate.high) + overheadMs.low),
    ms(value + sendTime(last.value, rate.value) + overheadMs.value),
    ms(high + sendTime(last.high, rate.low) + overheadMs.high),
  );
}

/** The pages that are then sent while the guest stands: `dirty`, what it dirties until it stands, and what the suspend itself dirties. */
export function predictLastPages(
  dirty: Estimate<Pages>,
  fullRate: Estimate<number>,
  goal: Goal,
  liftMs: Ms = goal.capabilities.liftLatencyMs,
): Estimate<Pages> {
  const { low, value, high } = suspendLatency(goal);
  const share = ownShare(goal);
  const one = (d: number, full: number, runsMs: number, own: number): Pages =>
    pages(Math.min(goal.domain.populatedPages, d + (full * runsMs) / 1000 + own));
  return between(
    one(dirty.low, fullRate.low, low, SUSPEND_PAGES_LOW),
    one(dirty.value, fullRate.value, LIFT_LIKELY * liftMs + value, SUSPEND_PAGES),
    one(dirty.high, fullRate.high / share, LIFT_WORST * liftMs + high, SUSPEND_PAGES_HIGH),
  );
}

/** From passing the suspend on until the guest stands: as learned, unless its owner's cap holds it back and every demand of it is full. */
function suspendLatency(goal: Goal): Estimate<Ms> {
  const { low, value, high } = goal.suspendLatencyMs;
  const share = ownShare(goal);
  return between(low, ms(value / share), ms(high / share));
}

/** The most pages that may be dirty at the suspend request for the downtime to fit `target`; 0 when not even none fits. */
export function pagesThatFit(target: Ms, fullRate: number, rate: BytesPerSecond, goal: Goal): Pages {
  const latency = goal.suspendLatencyMs.value / ownShare(goal);
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
  const share = ownShare(goal);
  const latency = goal.suspendLatencyMs.high / share;
  const left = target - latency - goal.overheadMs.high;
  if (left <= 0) return pages(0);
  const sendable = left / sendTime(pages(1), rateLow);
  return pages(Math.max(0, sendable - ((fullRateHigh / share) * (LIFT_WORST * liftMs + latency)) / 1000 - SUSPEND_PAGES_HIGH));
}
