import { capPercent } from './cap.ts';
import { because, type Decision, type Forecast } from './decision.ts';
import { predictDowntime, predictLastPages } from './downtime.ts';
import { between, type Estimate, exactly } from './estimate.ts';
import { type Goal, targetInWords } from './goal.ts';
import { stallOf } from './stall.ts';
import { boundedStall } from './standing.ts';
import { currentRound, type Track } from './track.ts';
import { type BytesPerSecond, type Ms, ms, type Pages, pages } from './units.ts';

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
  const stallMs = lastStall(track, goal);
  const downtimeMs = predictDowntime(dirty, fullDirtyRate(track), track.transferRate, goal, liftNeeded(stallMs, goal));
  return { downtimeMs, guestGapMs: ms(downtimeMs.high + stallMs) };
}

/** The longest stall of the cap in force, by the law of its scheduler; 0 without one that bites. */
export function longestStall(track: Track, goal: Goal): Ms {
  const percent = capPercent(track.cap, goal.domain.vcpus);
  if (percent >= goal.capCeilingPercent) return ms(0);
  return stallOf(percent, goal.domain.activeVcpus, goal.capabilities.scheduler, goal.capabilities.tsliceMs);
}

/** The longest stall that may directly precede the suspension; no longer than the guest can have been standing, where that was seen. */
export function lastStall(track: Track, goal: Goal): Ms {
  const { standing, atMs } = track;
  return standing === undefined
    ? longestStall(track, goal)
    : boundedStall(longestStall(track, goal), standing.atMostMs, atMs - standing.atMs, goal);
}

/** A cap that does not bite need not be lifted. */
const liftNeeded = (stallMs: Ms, goal: Goal): Ms => (stallMs > 0 ? goal.capabilities.liftLatencyMs : ms(0));

/** What a suspension now would take: at once, and when the guest runs uncapped for a moment before (`runFirstMs`). */
export interface Suspension {
  readonly downtimeMs: Estimate<Ms>;
  readonly afterSliceMs: Estimate<Ms>;
  /** To be sent after the suspension that fits: after a slice where only that does, else at once. */
  readonly lastPages: Estimate<Pages>;
  readonly stallMs: Ms;
  /** How the upper bounds fit the target: at once, only after a slice, or not at all. */
  readonly fits: 'now' | 'after-slice' | 'no';
}

/**
 * Judges a suspension with `dirty` pages. A last stall and the downtime join into one gap for the guest: either their sum fits the target,
 * or the guest runs for a moment in between, and what it dirties meanwhile at full speed has to fit too. A target of pages knows no stall.
 */
export function judge(
  dirty: Estimate<Pages>,
  fullRate: Estimate<number>,
  rate: Estimate<BytesPerSecond>,
  stallMs: Ms,
  goal: Goal,
): Suspension {
  const { maxDirtyPages, capabilities } = goal;
  const { runFirstMs } = capabilities;
  const liftMs = liftNeeded(stallMs, goal);
  const downtimeMs = predictDowntime(dirty, fullRate, rate, goal, liftMs);
  const afterSliceMs = predictDowntime(dirty, fullRate, rate, goal, liftMs, runFirstMs);
  if (maxDirtyPages !== undefined) {
    const lastPages = predictLastPages(dirty, fullRate, goal, liftMs);
    return { downtimeMs, afterSliceMs, lastPages, stallMs, fits: lastPages.high <= maxDirtyPages ? 'now' : 'no' };
  }
  const target = goal.targetDowntimeMs;
  const fits = downtimeMs.high + stallMs <= target ? 'now' : stallMs > 0 && afterSliceMs.high <= target ? 'after-slice' : 'no';
  return {
    downtimeMs,
    afterSliceMs,
    lastPages: predictLastPages(dirty, fullRate, goal, liftMs, fits === 'after-slice' ? runFirstMs : ms(0)),
    stallMs,
    fits,
  };
}

/** A suspension now, judged by what the track alone shows; undefined while there is no transfer rate or no dirty count. */
export function suspendNow(track: Track, goal: Goal): Suspension | undefined {
  const dirty = dirtyNow(track);
  if (dirty === undefined || track.transferRate === undefined) return undefined;
  return judge(dirty, fullDirtyRate(track), track.transferRate, lastStall(track, goal), goal);
}

/** The suspend gate on what the track alone shows; see `answerSuspend`. */
export function gate(track: Track, goal: Goal): Decision {
  return answerSuspend(dirtyNow(track), fullDirtyRate(track), track, goal);
}

/**
 * The suspend gate, shared by the controllers: the answer to a suspend request.
 *
 * upper predicted downtime and last stall (a target of pages: upper predicted pages) ≤ target → grant;
 * else, with a moment of running in between, → grant after it;
 * else on-miss abort → deny (the guest is never suspended); on-miss proceed → grant, as stock Xen would.
 * No prediction possible → grant: when we do not know we behave as stock.
 */
export function answerSuspend(dirty: Estimate<Pages> | undefined, fullRate: Estimate<number>, track: Track, goal: Goal): Decision {
  if (dirty === undefined || track.transferRate === undefined) {
    return { action: 'grant', reason: because('no-prediction', 'no transfer rate or dirty count is known: suspended as stock Xen would') };
  }
  const suspension = judge(dirty, fullRate, track.transferRate, lastStall(track, goal), goal);
  if (goal.maxDirtyPages !== undefined) return gateByPages(suspension, goal, goal.maxDirtyPages);
  const { stallMs, fits } = suspension;
  const slice = fits === 'after-slice';
  const downtimeMs = slice ? suspension.afterSliceMs : suspension.downtimeMs;
  const { lastPages } = suspension;
  const forecast: Forecast = {
    downtimeMs,
    lastPages,
    guestGapMs: ms(slice ? Math.max(downtimeMs.high, stallMs) : downtimeMs.high + stallMs),
  };
  const target = goal.targetDowntimeMs;
  const numbers = { predictedMs: Math.round(downtimeMs.value), upperMs: Math.round(downtimeMs.high), targetMs: target };
  const said = `predicted downtime ${numbers.predictedMs} ms (at most ${numbers.upperMs}) against a target of ${targetInWords(goal)}`;
  const runFirst = slice ? { runFirstMs: goal.capabilities.runFirstMs } : {};
  if (fits === 'now') return { action: 'grant', forecast, reason: because('fits', said, numbers) };
  if (fits === 'after-slice') {
    const text = `${said}; a last stall of up to ${Math.round(stallMs)} ms would join it, so the guest is let run first`;
    return {
      action: 'grant',
      ...runFirst,
      forecast,
      reason: because('fits-after-slice', text, { ...numbers, stallMs: Math.round(stallMs) }),
    };
  }
  const missed = stallMs > 0 ? `${said}, with a last stall of up to ${Math.round(stallMs)} ms before it` : said;
  if (goal.onMiss === 'proceed')
    return { action: 'grant', forecast, reason: because('misses-proceed', `${missed}; --on-miss proceed`, numbers) };
  return { action: 'deny', forecast, reason: because('misses-abort', `${missed}; --on-miss abort: the guest stays here`, numbers) };
}

function gateByPages({ downtimeMs, lastPages, stallMs, fits }: Suspension, goal: Goal, most: Pages): Decision {
  const forecast: Forecast = { downtimeMs, lastPages, guestGapMs: ms(downtimeMs.high + stallMs) };
  const numbers = { predictedPages: Math.round(lastPages.value), upperPages: Math.ceil(lastPages.high), maxDirtyPages: most };
  const said = `predicted ${numbers.predictedPages} pages sent after the suspend (at most ${numbers.upperPages}) against a target of ${targetInWords(goal)}`;
  if (fits !== 'no') return { action: 'grant', forecast, reason: because('fits', said, numbers) };
  return goal.onMiss === 'proceed'
    ? { action: 'grant', forecast, reason: because('misses-proceed', `${said}; --on-miss proceed`, numbers) }
    : { action: 'deny', forecast, reason: because('misses-abort', `${said}; --on-miss abort: the guest stays here`, numbers) };
}
