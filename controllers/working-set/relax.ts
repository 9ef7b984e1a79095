import { because, type Decision, type Goal, ms, type Observation } from '../../src/core/index.ts';
import type { Outlook } from './outlook.ts';
import { relaxesTarget, whyItGoesOn } from './preferences.ts';
import type { WorkingSetState } from './state.ts';

/** So much above the upper bound of the best that can be reached: what lies between is noise. */
const MARGIN = 1.1;
/** Throttling has to bring the downtime down to this share of what it would be without, or likely within the target, or it is not worth beginning. */
const WORTH = 0.5;

/** A target that the best there is should meet, ms. */
export const reachableMs = ({ bestMs }: Pick<Outlook, 'bestMs'>): number => MARGIN * bestMs.high;

/** The best there is, in words: likely it may be below a target that it cannot be sure to meet. */
export function bestInWords({ bestMs }: Pick<Outlook, 'bestMs'>, { targetDowntimeMs }: Goal): string {
  const best = `the best downtime is ${Math.round(bestMs.value)} ms`;
  const unsure = bestMs.value <= targetDowntimeMs ? ` (but up to ${Math.round(bestMs.high)} ms)` : '';
  return `${best}${unsure}, the target ${targetDowntimeMs} ms`;
}

/** What the plan is made for: the goal, or its relaxed form. The suspend gate always judges by the goal itself. */
export const aimOf = (relaxedMs: number | undefined, goal: Goal): Goal =>
  relaxedMs === undefined ? goal : { ...goal, targetDowntimeMs: ms(relaxedMs) };

/**
 * With --on-miss proceed a target out of reach is no reason to let the guest be stopped for as long as stock Xen would: the best that can be
 * reached is aimed at instead. Undefined where that would be hardly better than stock.
 */
export function relax(state: WorkingSetState, view: Outlook, goal: Goal): [WorkingSetState, Decision] | undefined {
  if (!relaxesTarget(goal) || goal.maxDirtyPages !== undefined) return undefined;
  const { bestMs, forecast } = view;
  const freeMs = view.freeMs();
  const likelyMeets = bestMs.value <= goal.targetDowntimeMs && freeMs.value > goal.targetDowntimeMs;
  if (!state.falling && !likelyMeets && bestMs.value > WORTH * freeMs.value) return undefined;
  const relaxedMs = reachableMs(view);
  const numbers = {
    targetMs: goal.targetDowntimeMs,
    bestMs: Math.round(bestMs.value),
    freeMs: Math.round(freeMs.value),
    aimMs: Math.round(relaxedMs),
  };
  const text = `even at the floor ${bestInWords(view, goal)}; ${whyItGoesOn(goal)}: aims at ${numbers.aimMs} ms (without throttling it would be ${numbers.freeMs} ms)`;
  return [
    { ...state, relaxedMs, hopelessCount: 0 },
    { action: 'hold', forecast, reason: because('relaxed', text, numbers) },
  ];
}

/** Each round shows what can be reached now: `by(goal)` is the outlook for the goal itself. Undefined once the target is within reach again. */
export function reached(
  relaxedMs: number | undefined,
  observation: Observation,
  goal: Goal,
  by: (goal: Goal) => Outlook | undefined,
): number | undefined {
  if (relaxedMs === undefined || observation.type !== 'round-start') return relaxedMs;
  const view = by(goal);
  if (view === undefined) return relaxedMs;
  return view.course.fits ? undefined : Math.max(goal.targetDowntimeMs, reachableMs(view));
}
