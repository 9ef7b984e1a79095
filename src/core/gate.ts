import { capPercent } from './cap.ts';
import { because, type Decision, type Forecast } from './decision.ts';
import { predictDowntime } from './downtime.ts';
import { between, type Estimate, exactly } from './estimate.ts';
import type { Goal } from './goal.ts';
import { stallOf } from './stall.ts';
import { currentRound, type Track } from './track.ts';
import { type Ms, ms, type Pages, pages } from './units.ts';

/** Unique pages per second the guest dirties at full speed at the start of a round, from what rounds showed; 0 without any round. */
export function fullDirtyRate(track: Track): Estimate<number> {
  const rates = track.rounds.flatMap((r) => {
    const span = (r.endedAtMs ?? track.atMs) - r.startedAtMs;
    return r.pagesDirtied === undefined || span < 50 ? [] : [(r.pagesDirtied / span) * 1000];
  });
  if (rates.length === 0) return exactly(0);
  const highest = Math.max(...rates);
  return between(rates.at(-1) ?? highest, highest, highest * 1.25);
}

/** What the last dirty set would be if the guest were suspended now. Without a look it is what the current round's rate says. */
export function dirtyNow(track: Track): Estimate<Pages> | undefined {
  const round = currentRound(track);
  if (round === undefined) return undefined;
  if (round.pagesDirtied !== undefined)
    return between(pages(0.95 * round.pagesDirtied), round.pagesDirtied, pages(1.05 * round.pagesDirtied + 32));
  const before = track.rounds.at(-2);
  if (before === undefined) return undefined;
  const span = (before.endedAtMs ?? round.startedAtMs) - before.startedAtMs;
  const elapsed = (round.endedAtMs ?? track.atMs) - round.startedAtMs;
  const guess = Math.min(round.pagesToSend, span > 0 ? (round.pagesToSend * elapsed) / span : round.pagesToSend);
  return between(pages(guess * 0.5), pages(guess), round.pagesToSend);
}

/** The forecast for a suspension now; undefined while there is no transfer rate or no dirty count. */
export function forecastNow(track: Track, goal: Goal): Forecast | undefined {
  const dirty = dirtyNow(track);
  if (dirty === undefined || track.transferRate === undefined) return undefined;
  const downtimeMs = predictDowntime(dirty, fullDirtyRate(track), track.transferRate, goal);
  return { downtimeMs, guestGapMs: ms(downtimeMs.high + lastStall(track, goal)) };
}

/** The longest stall that may directly precede the suspension: that of the cap in force, 0 without one that bites. */
export function lastStall(track: Track, goal: Goal): Ms {
  const ceiling = goal.capCeilingPercent;
  const percent = capPercent(track.cap, goal.domain.vcpus);
  if (percent >= ceiling) return ms(0);
  return stallOf(percent, goal.domain.activeVcpus, goal.capabilities.scheduler, goal.capabilities.tsliceMs);
}

/**
 * The suspend gate, shared by the controllers: the answer to a suspend request.
 *
 * upper predicted downtime ≤ target → grant; when the last stall on top would exceed it, the guest first runs for a slice.
 * else on-miss abort → deny (the guest is never suspended); on-miss proceed → grant, as stock Xen would.
 * No prediction possible → grant: when we do not know we behave as stock.
 */
export function gate(track: Track, goal: Goal): Decision {
  const forecast = forecastNow(track, goal);
  if (forecast === undefined) {
    return { action: 'grant', reason: because('no-prediction', 'no transfer rate or dirty count is known: suspended as stock Xen would') };
  }
  const { downtimeMs } = forecast;
  const target = goal.targetDowntimeMs;
  const numbers = { predictedMs: Math.round(downtimeMs.value), upperMs: Math.round(downtimeMs.high), targetMs: target };
  const said = `predicted downtime ${numbers.predictedMs} ms (at most ${numbers.upperMs}) against a target of ${target} ms`;
  if (goal.maxDirtyPages !== undefined) return gateByPages(track, goal, goal.maxDirtyPages, forecast);
  if (downtimeMs.high <= target) {
    const stall = lastStall(track, goal);
    const joined = downtimeMs.high + stall > target;
    const runFirst = joined ? { runFirstMs: goal.capabilities.tsliceMs } : {};
    const text = joined
      ? `${said}; with the last stall of up to ${Math.round(stall)} ms it would not fit, so the guest runs for a slice first`
      : said;
    return { action: 'grant', ...runFirst, forecast, reason: because(joined ? 'fits-after-slice' : 'fits', text, numbers) };
  }
  if (goal.onMiss === 'proceed')
    return { action: 'grant', forecast, reason: because('misses-proceed', `${said}; --on-miss proceed`, numbers) };
  return { action: 'deny', forecast, reason: because('misses-abort', `${said}; --on-miss abort: the guest stays here`, numbers) };
}

function gateByPages(track: Track, goal: Goal, most: Pages, forecast: Forecast): Decision {
  const dirty = Math.round(dirtyNow(track)?.high ?? Number.POSITIVE_INFINITY);
  const numbers = { dirtyPages: dirty, maxDirtyPages: most };
  if (dirty <= most)
    return { action: 'grant', forecast, reason: because('fits', `${dirty} dirty pages, at most ${most} allowed`, numbers) };
  const action = goal.onMiss === 'proceed' ? 'grant' : 'deny';
  return { action, forecast, reason: because(`misses-${goal.onMiss}`, `${dirty} dirty pages, at most ${most} allowed`, numbers) };
}
