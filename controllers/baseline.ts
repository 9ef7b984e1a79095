import {
  because,
  type Controller,
  type ControllerOption,
  capped,
  checkControllerOption,
  currentRound,
  type Decision,
  forecastNow,
  type Goal,
  gate,
  initialTrack,
  type Observation,
  observe,
  type Reason,
  shareOfTarget,
  suspendNow,
  type Track,
  targetInWords,
} from '../src/core/index.ts';
import { type Demand, demandPercent, learnDemand } from './demand.ts';

/** What every baseline keeps, and its own part beside it. JSON-serialisable. */
export interface BaselineState<Own> {
  readonly track: Track;
  readonly demand: Demand;
  /** Share of its demand that the guest is allowed, 0 … 1. */
  readonly speed: number;
  readonly own: Own;
}

/** What a rule wants: another speed, an end, or nothing. */
export interface Wish<Own> {
  readonly own: Own;
  readonly speed?: number;
  readonly reason: Reason;
  readonly end?: 'stop-and-copy' | 'abort';
}

export interface View {
  readonly track: Track;
  readonly speed: number;
  readonly observation: Observation;
  readonly goal: Goal;
}

/** A published algorithm: where it begins, and what it wants at each observation (suspend requests excepted). */
export interface Rule<Own> {
  readonly name: string;
  readonly summary: string;
  readonly options?: readonly ControllerOption[];
  initial(goal: Goal): Own;
  want(own: Own, view: View): Wish<Own>;
}

/**
 * Makes a controller of a published rule, so that all of them are compared on equal terms:
 * suspend requests go through the shared gate, a deadline aborts, and a speed u becomes the cap u × the guest's CPU demand
 * (a cap above the demand does nothing). The floor is put under it by the pure step, as for every controller.
 */
export function baseline<Own>(rule: Rule<Own>): Controller<BaselineState<Own>> {
  return {
    name: rule.name,
    summary: rule.summary,
    options: rule.options ?? [],
    ignores: ['profile', 'prefer'],
    initial: (goal) => ({ track: initialTrack(goal), demand: {}, speed: 1, own: rule.initial(goal) }),
    decide(before, observation, goal) {
      const demand = learnDemand(before.demand, observation, before.track.cap, goal);
      const track = observe(before.track, observation, goal);
      const state = { ...before, track, demand };
      if (observation.type === 'suspend-request') return [state, gate(track, goal)];
      if (track.suspendRequestedAtMs !== undefined) return [state, hold(because('switching-over', 'the guest is being suspended'))];
      if (goal.deadlineMs !== undefined && track.atMs - track.startedAtMs > goal.deadlineMs) {
        const numbers = { elapsedMs: Math.round(track.atMs - track.startedAtMs), deadlineMs: goal.deadlineMs };
        return [state, { action: 'abort', reason: because('deadline', `still not done after ${goal.deadlineMs} ms`, numbers) }];
      }
      const wish = rule.want(before.own, { track, speed: before.speed, observation, goal });
      const next = { ...state, own: wish.own, speed: wish.speed ?? before.speed };
      return [next, { ...answer(wish, demand, goal), ...forecastOf(track, goal) }];
    },
  };
}

function answer<Own>(wish: Wish<Own>, demand: Demand, goal: Goal): Decision {
  const { reason, speed } = wish;
  if (wish.end !== undefined) return { action: wish.end, reason };
  if (speed === undefined) return hold(reason);
  if (speed >= 1) return { action: 'uncap', reason };
  const percent = Math.max(goal.capFloorPercent, speed * demandPercent(demand, goal));
  return {
    action: 'set-cap',
    cap: capped(percent),
    reason: { ...reason, numbers: { ...reason.numbers, capPercent: Math.round(percent) } },
  };
}

export const hold = (reason: Reason): Decision => ({ action: 'hold', reason });

function forecastOf(track: Track, goal: Goal): Pick<Decision, 'forecast'> {
  const forecast = forecastNow(track, goal);
  return forecast === undefined ? {} : { forecast };
}

/** Nothing to do at this observation. */
export const wait = <Own>(own: Own): Wish<Own> => ({ own, reason: because('waiting', 'nothing to decide yet') });

/**
 * The switch-over rule that most share: once the predicted downtime surely fits `targetMs` (a target of pages: as large a share of it), stop
 * and copy. Only asked where the policy is ours.
 */
export function switchOver(view: View, targetMs: number = view.goal.targetDowntimeMs): Reason | undefined {
  if (view.observation.type !== 'policy-query' || view.observation.when !== 'after') return undefined;
  if (view.goal.maxDirtyPages !== undefined) return fewEnough(view.track, shareOfTarget(targetMs / view.goal.targetDowntimeMs, view.goal));
  const downtime = forecastNow(view.track, view.goal)?.downtimeMs;
  if (downtime === undefined || downtime.high > targetMs) return undefined;
  const numbers = { predictedMs: Math.round(downtime.value), upperMs: Math.round(downtime.high), targetMs: Math.round(targetMs) };
  return because('fits', `predicted downtime at most ${numbers.upperMs} ms, allowed are ${numbers.targetMs} ms`, numbers);
}

function fewEnough(track: Track, goal: Goal): Reason | undefined {
  const suspension = suspendNow(track, goal);
  if (suspension === undefined || suspension.fits === 'no') return undefined;
  const { value, high } = suspension.lastPages;
  const numbers = { predictedPages: Math.round(value), upperPages: Math.ceil(high) };
  return because(
    'fits',
    `predicted at most ${numbers.upperPages} pages sent after the suspend, allowed are ${targetInWords(goal)}`,
    numbers,
  );
}

/** Live rounds that can still begin after the current one; undefined where there is no limit. */
export function roundsLeft({ track, goal }: View): number | undefined {
  const most = goal.capabilities.roundsMax;
  const round = currentRound(track)?.round;
  return most === undefined || round === undefined ? undefined : Math.max(0, most - 1 - round);
}

/** Bytes per second of the stream: the tracked rate, or what the last finished round shows while that is missing. */
export function streamRate(track: Track): number | undefined {
  if (track.transferRate !== undefined) return track.transferRate.value;
  const round = track.rounds.findLast((r) => r.endedAtMs !== undefined);
  const next = round === undefined ? undefined : track.rounds[track.rounds.indexOf(round) + 1];
  if (round === undefined || next === undefined || next.startedAtMs <= round.startedAtMs) return undefined;
  const rate = ((next.bytesAtStart - round.bytesAtStart) / (next.startedAtMs - round.startedAtMs)) * 1000;
  return rate > 0 ? rate : undefined;
}

/** What the goal says of a declared option, or its default. Throws XthrottleError('usage') for a value that it does not take. */
export function option(goal: Goal, declared: ControllerOption): number {
  const value = goal.options[declared.name] ?? declared.byDefault;
  checkControllerOption(declared, value);
  return value;
}
