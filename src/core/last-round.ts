import { after, type PlanModel, type RoundAhead } from './round-ahead.ts';

/** The last live round of a course. */
export interface LastRound {
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
export function lastRound(model: PlanModel, round: RoundAhead): LastRound {
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
