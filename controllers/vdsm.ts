import { because, type ControllerOption } from '../src/core/index.ts';
import { baseline, option, switchOver, wait } from './baseline.ts';

/*
 * vdsm: oVirt's "minimal downtime" schedule.
 *
 * Source: vdsm, migration.py and its convergence schedules. The allowed downtime begins small and rises with the rounds that did not end
 * the migration; then it is aborted. The largest is the target (oVirt: 500 ms), the others are in proportion:
 *
 *   after rounds           0     1     2     3     4     6
 *   allowed of 500 ms    100   150   200   300   400   500    then abort
 *
 * No throttle. It needs the pre-copy policy: with stock's five rounds only the gate is left of it.
 */

/** oVirt's "suspend workload if needed" allows 5000 ms. */
const SUSPEND_IF_NEEDED: ControllerOption = {
  name: 'suspendIfNeeded',
  summary: '1: instead of the abort, ten times the target is allowed',
  byDefault: 0,
  min: 0,
  max: 1,
  whole: true,
};

/** Rounds sent, and the share of the target that is allowed from then on. */
const SCHEDULE: readonly (readonly [rounds: number, share: number])[] = [
  [0, 0.2],
  [1, 0.3],
  [2, 0.4],
  [3, 0.6],
  [4, 0.8],
  [6, 1],
];
/** Rounds after which the schedule is at its end. */
const ROUNDS_MAX = 7;
const SUSPEND_SHARE = 10;

/** Allowed downtime after so many rounds, as a share of the target. */
export const allowedShare = (rounds: number): number => SCHEDULE.findLast(([from]) => rounds >= from)?.[1] ?? 0.2;

export const vdsm = baseline<null>({
  name: 'vdsm',
  summary: "oVirt's schedule: no throttle, the allowed downtime rises with the rounds, then abort",
  options: [SUSPEND_IF_NEEDED],
  initial: () => null,
  want(own, view) {
    const { observation, goal } = view;
    if (observation.type !== 'policy-query' || observation.when === 'before') return wait(own);
    const rounds = observation.round + 1;
    const target = goal.targetDowntimeMs;
    const over = rounds >= ROUNDS_MAX;
    const allowed = target * (over && option(goal, SUSPEND_IF_NEEDED) === 1 ? SUSPEND_SHARE : allowedShare(rounds));
    const fits = switchOver(view, allowed);
    if (fits !== undefined) return { own, reason: fits, end: 'stop-and-copy' };
    const numbers = { rounds, allowedMs: Math.round(allowed) };
    if (over)
      return { own, end: 'abort', reason: because('schedule-over', `${rounds} rounds, and not even ${numbers.allowedMs} ms fit`, numbers) };
    return { own, reason: because('schedule', `after ${rounds} rounds ${numbers.allowedMs} ms are allowed, more is needed`, numbers) };
  },
});
