import {
  answerSuspend,
  because,
  between,
  type Decision,
  type Estimate,
  exactly,
  FRESH,
  type Goal,
  gate,
  judge,
  lastStall,
  lowest,
  ms,
  type Observation,
  PAGE_BYTES,
  type Pages,
  type PolicyQuery,
  pageRate,
  pages,
  predictDowntime,
  type Reason,
  type Suspension,
  shareOfTarget,
  stockDecision,
} from '../../src/core/index.ts';
import { timeInRound, workInRound } from './guest.ts';
import { type Outlook, timeLeftMs } from './outlook.ts';
import { floorPercent, relaxesTarget, whyItGoesOn } from './preferences.ts';
import { bestInWords, bestOf, numbersOf, targetOf } from './relax.ts';
import { remedies } from './remedies.ts';
import type { WorkingSetState } from './state.ts';

/** So many floor rounds without progress are the end of open-ended rounds, unless they likely fit already and only luck is missing. */
const STUCK_ROUNDS = 3;
/** Total bytes after which a migration with open-ended rounds is not going to end: multiples of the domain's memory. */
const MEMORY_MULTIPLE = 8;

/**
 * From the policy's answer until the gate looks again, ms: what fits only just now would be denied then, and another round is cheaper. A guest
 * that dirties much in that time may have this share of the target to spare instead.
 */
const UNTIL_GATE_MS = 10;
const STOP_SHARE = 0.9;

/** So few dirty pages that another round is as likely to leave more: stock Xen's own threshold (SPP_TARGET_DIRTY_COUNT). */
const FEW_PAGES = 50;

/** Pages dirty when the gate will look, at the speed in force. */
function atGate({ dirty, fullRate, start }: Outlook): Estimate<Pages> {
  const more = (perSecond: number): number => (start.speedNow * perSecond * UNTIL_GATE_MS) / 1000;
  return between(dirty.low, pages(dirty.value + more(fullRate.value)), pages(dirty.high + more(fullRate.high)));
}

/** So much of the way from the likely downtime to its upper bound (95 %) is four chances in five. */
const FOUR_IN_FIVE = 0.5;

/** Whether it fits with four chances in five, its last stall included, be the upper bound as it may. */
const isLikely = ({ downtimeMs: { value, high }, stallMs }: Suspension, goal: Goal): boolean =>
  goal.maxDirtyPages === undefined && value + FOUR_IN_FIVE * (high - value) + stallMs <= goal.targetDowntimeMs;

/** A round whose mean is within this factor of the floor … */
const NEAR_FLOOR = 2;
/** … and that saves less than this share of the target is paid for dearly, and so will be the next. */
const WORTH_A_ROUND = 0.02;

/** Whether another round near the floor would bring hardly anything, as this one did. */
function standsStill({ falling, guest, track }: WorkingSetState, { dirty, likely }: Outlook, goal: Goal): boolean {
  const speed = guest.allowedMs / Math.max(1, timeInRound(guest));
  if (!falling || speed > NEAR_FLOOR * likely.floorSpeed || track.transferRate === undefined) return false;
  const worth = (WORTH_A_ROUND * goal.targetDowntimeMs * pageRate(track.transferRate.value)) / 1000;
  return guest.pagesToSend - dirty.value < worth;
}

/** The answer to a suspend request: there are no rounds after it, so whoever relaxes the target does so now. */
export function atSuspend(state: WorkingSetState, view: Outlook | undefined, goal: Goal): Decision {
  const decision = view === undefined ? gate(state.track, goal) : answerSuspend(view.dirty, view.fullRate, state.track, goal);
  if (decision.action !== 'deny' || !relaxesTarget(goal)) return decision;
  const { reason, forecast } = decision;
  const why = because('deadline-first', `${reason.text}; ${whyItGoesOn(goal)}: granted`, reason.numbers);
  return { action: 'grant', reason: why, ...(forecast === undefined ? {} : { forecast }) };
}

/** The deadline has come before the target could be met, but for a stop-and-copy within the target; undefined while there is time. */
export function outOfTime(state: WorkingSetState, view: Outlook, goal: Goal): Decision | undefined {
  if (relaxesTarget(goal) || timeLeftMs(state.track, goal) > goal.targetDowntimeMs) return undefined;
  const seconds = Math.round((goal.deadlineMs ?? 0) / 1000);
  return end(goal, view, 'deadline', `the deadline of ${seconds} s has come and the target is not met`, {
    deadlineMs: goal.deadlineMs ?? 0,
  });
}

/** Where the rounds are stock Xen's nobody can end them for a deadline; the user is told. */
export function noteLate(state: WorkingSetState, decision: Decision, goal: Goal): Decision {
  if (goal.capabilities.policy || !relaxesTarget(goal) || timeLeftMs(state.track, goal) > 0) return decision;
  const text = `${decision.reason.text}; the deadline has passed, but the rounds are Xen's to end`;
  return { ...decision, reason: { ...decision.reason, text } };
}

/** Whether even one more round, as slow as it may be, would end with its stop-and-copy after the deadline. */
function isLastChance(state: WorkingSetState, { dirty, likely, forecast, ratesAt, start }: Outlook, goal: Goal): boolean {
  const rate = state.track.transferRate;
  if (rate === undefined || goal.deadlineMs === undefined) return false;
  const speedBefore = Math.min(1, workInRound(state.guest) / Math.max(1, timeInRound(state.guest)));
  const round = { ...start, ...FRESH, pagesLeft: dirty.value, speedBefore, roundsLeft: 1, openEnded: false };
  const { timeMs, lastPages } = lowest(likely, round);
  const copyMs = predictDowntime(exactly(pages(lastPages)), ratesAt(lastPages), rate, goal).value;
  return timeLeftMs(state.track, goal) < Math.min(forecast.etaMs?.value ?? Number.POSITIVE_INFINITY, timeMs + copyMs);
}

/** Our own policy decides when the rounds end. */
export function atPolicy(state: WorkingSetState, query: PolicyQuery, view: Outlook, goal: Goal): Decision {
  const { forecast, course } = view;
  const rate = state.track.transferRate;
  if (rate === undefined) return { action: 'hold', reason: because('learning', 'no transfer rate is known yet') };
  if (query.when === 'after') {
    const judged = (dirty: Estimate<Pages>, by: Goal, laterMs = 0) =>
      judge(dirty, view.fullRate, rate, lastStall({ ...state.track, atMs: ms(state.track.atMs + laterMs) }, goal), by);
    const few = goal.capabilities.peek && view.dirty.value <= FEW_PAGES;
    const ample = judged(view.dirty, shareOfTarget(STOP_SHARE, goal));
    const now = ample.fits === 'no' ? judged(few ? view.dirty : atGate(view), goal, UNTIL_GATE_MS) : ample;
    const fits = now.fits !== 'no';
    const numbers = { dirtyPages: Math.round(view.dirty.value), predictedMs: Math.round(now.downtimeMs.value) };
    const sees = goal.capabilities.peek || isShort(state, query, view);
    if (fits && sees) {
      const text = `${numbers.dirtyPages} dirty pages fit the target: stop and copy now (predicted ${numbers.predictedMs} ms)`;
      return { action: 'stop-and-copy', forecast, reason: because('fits', text, numbers) };
    }
    if (relaxesTarget(goal) && sees && isLikely(now, goal) && standsStill(state, view, goal)) {
      const upperMs = Math.round(now.downtimeMs.high + now.stallMs);
      const text = `${numbers.dirtyPages} dirty pages likely fit the target (predicted ${numbers.predictedMs} ms, at most ${upperMs}), and throttled rounds hardly shrink any more; ${whyItGoesOn(goal)}: stop and copy now`;
      return { action: 'stop-and-copy', forecast, reason: because('likely-fits', text, { ...numbers, upperMs }) };
    }
  } else if (!goal.capabilities.peek && course.rounds === 1 && course.fits && isShort(state, query, view)) {
    const numbers = { dirtyPages: Math.round(course.lastPages) };
    const text = `this round leaves some ${numbers.dirtyPages} pages, which fit the target: it is the last`;
    return { action: 'stop-and-copy', forecast, reason: because('will-fit', text, numbers) };
  }
  if (relaxesTarget(goal) && isLastChance(state, view, goal)) return { action: 'stop-and-copy', forecast, reason: deadlineFirst(goal) };
  const written = state.track.bytesSent / (goal.domain.populatedPages * PAGE_BYTES);
  if (written > MEMORY_MULTIPLE) {
    const text = `${written.toFixed(1)} times the domain's memory was sent (at most ${MEMORY_MULTIPLE})`;
    return end(goal, view, 'too-many-bytes', text, { written }, true);
  }
  if (state.stuck.rounds > STUCK_ROUNDS && bestOf(view, goal).value > targetOf(goal)) {
    const text = `${STUCK_ROUNDS} rounds at the floor made no progress: ${state.guest.pagesToSend} pages stay dirty`;
    return end(goal, view, 'no-progress', text, { dirtyPages: state.guest.pagesToSend }, true);
  }
  return { action: 'hold', forecast, reason: because('go-on', `some ${course.rounds} more rounds are planned`, { rounds: course.rounds }) };
}

const deadlineFirst = (goal: Goal): Reason =>
  because('deadline-first', `another round would end after the deadline; ${whyItGoesOn(goal)}: stop and copy now`, {
    deadlineMs: goal.deadlineMs ?? 0,
  });

/** A last round may send so many times what fits … */
const LAST_ROUND_FITS = 1.5;
/** … once a round shorter than the first was counted: all else is far from what a last round is like; … */
const ROUNDS_SEEN = 2;
/** … unless rounds have stopped shrinking: above this share of the one before. */
const SHRINKS = 0.8;

/**
 * Without looks a round once begun is not seen until the guest is suspended. The shorter the last one is the less can happen in it, and as
 * long as rounds shrink by themselves another one costs little.
 */
function isShort({ track }: WorkingSetState, query: PolicyQuery, { start, likely }: Outlook): boolean {
  const sent = track.rounds.map((round) => round.pagesToSend);
  const sizes = query.when === 'before' && query.dirtyPages !== undefined ? [...sent, query.dirtyPages] : sent;
  const pages = sizes.at(-1) ?? 0;
  if (start.roundsLeft <= 2) return true;
  const stuck = pages > SHRINKS * (sizes.at(-2) ?? pages);
  return query.round >= ROUNDS_SEEN && (pages <= LAST_ROUND_FITS * likely.fitPagesFree || stuck);
}

/**
 * The end of hope: abort leaves the guest here; proceed lets the migration go on as stock would, which at a policy query means to stop: more
 * rounds would cost bytes and end no better.
 */
function end(goal: Goal, view: Outlook, code: string, text: string, numbers: Readonly<Record<string, number>>, asked = false): Decision {
  const { forecast } = view;
  if (!relaxesTarget(goal))
    return { action: 'abort', forecast, reason: because(code, `${text}; --on-miss abort: the guest stays here`, numbers) };
  const reason = because(code, `${text}; ${whyItGoesOn(goal)}: it goes on as under stock Xen`, numbers);
  return asked ? { action: 'stop-and-copy', forecast, reason } : { action: 'uncap', forecast, reason };
}

/** Small steps down take rounds, and are a choice. */
const howItFalls = ({ profile }: Goal): string => (profile === 'gradual' ? `, reached by --profile ${profile},` : '');

/**
 * The proof that nothing from here on meets the target, and what would have. Under proceed our own policy then goes on as stock's would: a
 * guest that calms its dirty set down by itself is not to be stopped with all of it.
 */
export function impossible(state: WorkingSetState, view: Outlook, goal: Goal, observation: Observation): Decision {
  const numbers = { ...numbersOf({ best: bestOf(view, goal).value, target: targetOf(goal) }, goal), floorPercent: floorPercent(goal) };
  const help = remedies(state.track, view, goal);
  const text = `even at ${goal.prefer === 'safety' ? "--prefer safety's" : 'the'} floor of ${floorPercent(goal)} %${howItFalls(goal)} ${bestInWords(view, goal)}${help.text}`;
  const asked = observation.type === 'policy-query';
  const decision = end(goal, view, 'infeasible', text, { ...numbers, ...help.numbers }, asked);
  if (asked && relaxesTarget(goal) && isLastChance(state, view, goal))
    return { action: 'stop-and-copy', forecast: view.forecast, reason: deadlineFirst(goal) };
  const goesOn = asked && decision.action === 'stop-and-copy' && stockDecision(observation).action !== 'stop-and-copy';
  return goesOn ? { action: 'hold', forecast: view.forecast, reason: decision.reason } : decision;
}
