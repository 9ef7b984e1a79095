import {
  because,
  between,
  type Decision,
  type Estimate,
  free,
  type Goal,
  ms,
  type Observation,
  pages,
  predictLastPages,
  targetInWords,
} from '../../src/core/index.ts';
import type { Outlook } from './outlook.ts';
import { relaxesTarget, whyItGoesOn } from './preferences.ts';
import type { WorkingSetState } from './state.ts';

/** So much above the upper bound of the best that can be reached: what lies between is noise. */
const MARGIN = 1.1;
/** Throttling has to save this share of what it can change of the downtime (or of the pages), and as much of the target, to be worth beginning. */
const WORTH = 0.5;

/** The target's number, in its own unit: ms, or pages sent after the suspend. */
export const targetOf = ({ targetDowntimeMs, maxDirtyPages }: Goal): number => maxDirtyPages ?? targetDowntimeMs;

/** The same goal with another number for its target. */
const withTarget = (target: number, goal: Goal): Goal =>
  goal.maxDirtyPages === undefined ? { ...goal, targetDowntimeMs: ms(target) } : { ...goal, maxDirtyPages: pages(target) };

/** What the lowest course leads to, in the target's unit. */
export function bestOf({ best, bestMs, ratesAt }: Outlook, goal: Goal): Estimate {
  return goal.maxDirtyPages === undefined ? bestMs : sentAfter(best.lastPages, ratesAt, goal);
}

/** What no throttling at all leads to, in the target's unit. */
function freeOf(view: Outlook, goal: Goal): Estimate {
  if (goal.maxDirtyPages === undefined) return view.freeMs();
  return sentAfter(free({ ...view.likely, floorSpeed: 1 }, view.start).lastPages, view.ratesAt, goal);
}

const sentAfter = (count: number, ratesAt: Outlook['ratesAt'], goal: Goal): Estimate =>
  predictLastPages(between(pages(count * 0.9), pages(count), pages(count * 1.1)), ratesAt(count), goal);

/** A target that the best there is should meet, in its unit. */
export const reachable = (view: Outlook, goal: Goal): number => MARGIN * bestOf(view, goal).high;

/** The best there is, in words: likely it may be below a target that it cannot be sure to meet. */
export function bestInWords(view: Outlook, goal: Goal): string {
  const best = bestOf(view, goal);
  const likely = inWords(best.value, goal);
  const said = goal.maxDirtyPages === undefined ? `the best downtime is ${likely}` : `the best is ${likely} sent after the suspend`;
  const unsure = best.value <= targetOf(goal) ? ` (but up to ${inWords(best.high, goal)})` : '';
  return `${said}${unsure}, the target ${targetInWords(goal)}`;
}

const inWords = (target: number, goal: Goal): string => targetInWords(withTarget(Math.round(target), goal));

/** What the plan is made for: the goal, or its relaxed form. The suspend gate always judges by the goal itself. */
export const aimOf = (relaxed: number | undefined, goal: Goal): Goal => (relaxed === undefined ? goal : withTarget(relaxed, goal));

/** What switching over costs whatever is dirty is no reason not to throttle, be it as long as the target. */
function isWorthIt(best: number, unthrottled: number, goal: Goal): boolean {
  const fixed = goal.maxDirtyPages === undefined ? goal.overheadMs.value : 0;
  return unthrottled - best >= WORTH * Math.max(unthrottled - fixed, targetOf(goal));
}

/**
 * With --on-miss proceed a target out of reach is no reason to let the guest be stopped for as long as stock Xen would: the best that can be
 * reached is aimed at instead. Undefined where that would be hardly better than stock.
 */
export function relax(state: WorkingSetState, view: Outlook, goal: Goal): [WorkingSetState, Decision] | undefined {
  if (!relaxesTarget(goal)) return undefined;
  const { forecast } = view;
  const [best, unthrottled, target] = [bestOf(view, goal), freeOf(view, goal), targetOf(goal)];
  const likelyMeets = best.value <= target && unthrottled.value > target;
  if (!state.falling && !likelyMeets && !isWorthIt(best.value, unthrottled.value, goal)) return undefined;
  const relaxed = reachable(view, goal);
  const numbers = numbersOf({ target, best: best.value, free: unthrottled.value, aim: relaxed }, goal);
  const text = `even at the floor ${bestInWords(view, goal)}; ${whyItGoesOn(goal)}: aims at ${inWords(relaxed, goal)} (without throttling it would be ${inWords(unthrottled.value, goal)})`;
  return [
    { ...state, relaxed, hopelessCount: 0 },
    { action: 'hold', forecast, reason: because('relaxed', text, numbers) },
  ];
}

/** The numbers of a reason, each named by the target's unit; the target as it was given. */
export function numbersOf(values: Readonly<Record<string, number>>, goal: Goal): Record<string, number> {
  const unit = goal.maxDirtyPages === undefined ? 'Ms' : 'Pages';
  return Object.fromEntries(Object.entries(values).map(([name, n]) => [`${name}${unit}`, name === 'target' ? n : Math.round(n)]));
}

/** Each round shows what can be reached now: `by(goal)` is the outlook for the goal itself. Undefined once the target is within reach again. */
export function reached(
  relaxed: number | undefined,
  observation: Observation,
  goal: Goal,
  by: (goal: Goal) => Outlook | undefined,
): number | undefined {
  if (relaxed === undefined || observation.type !== 'round-start') return relaxed;
  const view = by(goal);
  if (view === undefined) return relaxed;
  return view.course.fits ? undefined : Math.max(targetOf(goal), reachable(view, goal));
}
