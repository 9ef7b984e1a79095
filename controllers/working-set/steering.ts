import {
  because,
  type Cap,
  capped,
  capToXen,
  type Decision,
  type Goal,
  isLower,
  type Observation,
  type PlanModel,
  sameCap,
  showCap,
} from '../../src/core/index.ts';
import { demandOf, type GuestView, onTimeMs } from './guest.ts';
import type { Outlook } from './outlook.ts';
import { floorPercent } from './preferences.ts';
import type { WorkingSetState } from './state.ts';

/** A speed this close to full is full. */
const FULL = 0.97;
/** Within a round a cap is only changed by more than this share: every change is a call. */
const WORTH = 0.08;
/** The first round sends everything, and its dirtying levels off: throttling early in it costs most and buys least. */
const FIRST_ROUND_FREE = 0.75;
const ROUNDS_TO_COME = 3;

const tooEarly = (guest: GuestView, { start }: Outlook): boolean =>
  guest.round === 0 && start.roundsLeft >= ROUNDS_TO_COME && start.pagesLeft > (1 - FIRST_ROUND_FREE) * guest.pagesToSend;

/** With fewer rounds left the lowest is tried even if it does not promise enough. */
const ROUNDS_TO_TRY = 5;

/** … or with so few where even the likely lowest is this much too long. */
const ROUNDS_TO_WAIT = 3;
const VAIN_FACTOR = 3;
/** Where rounds can be added, so many first ones are waited for a calmer guest or link; then the floor shows what it can do. */
const ROUNDS_FREE = 3;

/** Whether throttling now would hurt the guest and still not lead to the target. */
const inVain = ({ start, best, bestMs, likely }: Outlook, round: number, goal: Goal): boolean =>
  (goal.capabilities.policy && round < ROUNDS_FREE && start.roundsLeft > ROUNDS_TO_TRY) ||
  (start.roundsLeft >= ROUNDS_TO_WAIT && isFarOff(best.lastPages, bestMs.value, likely, goal));

const isFarOff = (lastPages: number, downtimeMs: number, { fitPages, fitPagesFree }: PlanModel, goal: Goal): boolean =>
  goal.maxDirtyPages === undefined
    ? downtimeMs > VAIN_FACTOR * goal.targetDowntimeMs
    : lastPages > VAIN_FACTOR * Math.max(fitPages, fitPagesFree);

/** In a last round a cap that comes into force at its very end only holds up the suspend. */
const tooLate = ({ start, likely, course }: Outlook): boolean =>
  course.rounds === 1 && course.speed < start.speedNow && start.pagesLeft / likely.pagesPerMs < likely.tailMs;

/** Caps inside and between rounds. */
export function steer(state: WorkingSetState, observation: Observation, view: Outlook, goal: Goal): [WorkingSetState, Decision] {
  const { course, forecast, likely } = view;
  const numbers = numbersOf(view);
  const plan = `${course.rounds} more rounds leave ${numbers.lastPages} pages (${numbers.fitPages} fit)`;
  if (state.patience.sinceMs !== undefined && course.speed < FULL) {
    const text = `guest or link are busier than they were: throttling now would lose ${numbers.lostMs} ms of work, in a calm ${Math.round(view.calm?.course.lostMs ?? 0)} ms; waiting`;
    return [
      { ...state, falling: false },
      { action: 'uncap', forecast, reason: because('waiting', text, numbers) },
    ];
  }
  if (!course.fits && !state.falling && inVain(view, state.guest.round, goal)) {
    const text = `nothing that can be done now would meet the target: the guest runs free while there are rounds to wait for a calmer one; ${plan}`;
    return [state, { action: 'uncap', forecast, reason: because('no-way-yet', text, numbers) }];
  }
  if (tooLate(view) && observation.type !== 'round-start')
    return [
      state,
      { action: 'hold', forecast, reason: because('round-ends', `no cap would be in force before the round ends; ${plan}`, numbers) },
    ];
  if (course.speed >= FULL || likely.floorSpeed >= 1 || tooEarly(state.guest, view)) {
    const falling = state.falling && course.fallAt < 0 && course.rounds > 1;
    const ahead = course.lostMs > 0 ? `the guest runs free and is slowed down ${whenItFalls(course.fallAt)}` : 'the guest runs free';
    return [
      { ...state, falling },
      { action: 'uncap', forecast, reason: because('free', `${ahead}; ${plan}`, numbers) },
    ];
  }
  return throttle(state, observation, view, goal, plan);
}

/** A fall at 0.25 begins with the next round, a quarter of the way less steep. */
function whenItFalls(fallAt: number): string {
  const rounds = Math.floor(fallAt);
  if (rounds < 0) return 'later in this round';
  return rounds === 0 ? 'after this round' : `after this round and ${rounds} more`;
}

function throttle(state: WorkingSetState, observation: Observation, view: Outlook, goal: Goal, plan: string): [WorkingSetState, Decision] {
  const { course, forecast } = view;
  const demand = demandOf(state.guest, goal);
  const numbers = numbersOf(view);
  const wanted = capped(Math.max(floorPercent(goal), course.speed * demand));
  const now = state.track.cap;
  const inRound = observation.type !== 'round-start';
  const small = now.kind === 'capped' && wanted.kind === 'capped' && Math.abs(wanted.percent - now.percent) < WORTH * now.percent;
  const falling: WorkingSetState = { ...state, falling: true };
  const text = `${showCap(wanted)} of the guest's ${Math.round(demand)} %; ${plan}, ${numbers.lostMs} ms of work lost`;
  const reason = because(course.fits ? 'throttle' : 'lowest', text, numbers);
  if (inRound && (small || unparksOnly(state.guest, view, wanted, now, goal))) return [falling, { action: 'hold', forecast, reason }];
  return [falling, { action: 'set-cap', cap: wanted, forecast, reason }];
}

/** A guest whose cap is raised runs freely at first: so close to the end of a round that is not the last that is all it would do. */
function unparksOnly(guest: GuestView, { course, start, likely }: Outlook, wanted: Cap, now: Cap, goal: Goal): boolean {
  const restMs = start.pagesLeft / likely.pagesPerMs - likely.latencyMs;
  return course.rounds > 1 && isLower(now, wanted) && restMs < ON_TIMES * onTimeMs(guest, goal);
}
const ON_TIMES = 4;

const numbersOf = ({ course, dirty, likely }: Outlook) => ({
  dirtyPages: Math.round(dirty.value),
  lastPages: Math.round(course.lastPages),
  fitPages: Math.round(course.speed < 1 ? likely.fitPages : likely.fitPagesFree),
  roundsLeft: course.rounds,
  lostMs: Math.round(course.lostMs),
});

/** Between two changes inside a round lie at least so many times the actuator's latency, and this share of the round so far. */
const LATENCIES_APART = 2;
const DWELL_SHARE = 0.04;
const DWELL_MS = 30;

/**
 * One change at a time: what was decided is given the time to come into force, and a round is not spent on going back and forth. Letting the
 * guest go in the last round can't wait.
 */
export function settled(
  [state, decision]: [WorkingSetState, Decision],
  observation: Observation,
  view: Outlook,
  goal: Goal,
): [WorkingSetState, Decision] {
  if (decision.action !== 'set-cap' && decision.action !== 'uncap') return [state, decision];
  const wanted = decision.action === 'set-cap' ? capToXen(decision.cap) : 0;
  const inForce = sameCap(state.track.cap, goal.domain.capOriginal) ? 0 : capToXen(state.track.cap);
  const last = state.change;
  if (wanted === (last?.capPercent ?? 0) && wanted === inForce) return [state, decision];
  const roundMs = observation.atMs - state.guest.roundAtMs;
  const apart = LATENCIES_APART * goal.capabilities.actuatorLatencyMs + Math.max(DWELL_MS, DWELL_SHARE * roundMs);
  const letGo = wanted === 0 && view.course.rounds === 1 && last?.capPercent !== 0;
  const soon = !letGo && last !== undefined && observation.atMs - last.atMs < apart;
  if (soon && (observation.type !== 'round-start' || last.capPercent !== inForce)) {
    return [
      state,
      { action: 'hold', reason: decision.reason, ...(decision.forecast === undefined ? {} : { forecast: decision.forecast }) },
    ];
  }
  return [{ ...state, change: { capPercent: wanted, atMs: observation.atMs } }, decision];
}
