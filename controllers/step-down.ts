import { because, type ControllerOption } from '../src/core/index.ts';
import { baseline, option, switchOver, wait } from './baseline.ts';

/*
 * step-down: the idea of 2012.
 *
 * Source: George Dunlap on xen-devel, November 2012: let the first N rounds run free, then crank the credit1 cap down a step each round,
 * so that the guest "runs slowly" instead of standing still for seconds.
 *
 *   at the start of round n:  u = 1 − stepPercent/100 × max(0, n − freeRounds + 1)
 *
 * The cap only comes down, whatever the guest does, and the target plays no part: that is what makes it a baseline.
 */

const FREE_ROUNDS: ControllerOption = {
  name: 'freeRounds',
  summary: 'rounds at full speed; round 0 sends everything anyway',
  byDefault: 1,
  min: 0,
  max: 1000,
  whole: true,
};
/** In stock's five rounds four steps of 20 % leave 20 %. */
const STEP_PERCENT: ControllerOption = {
  name: 'stepPercent',
  summary: 'percent of the CPU demand that each later round takes away',
  byDefault: 20,
  min: 1,
  max: 100,
  whole: false,
};

export const stepDown = baseline<null>({
  name: 'step-down',
  summary: 'N free rounds, then the cap comes down a fixed step each round (Dunlap 2012)',
  options: [FREE_ROUNDS, STEP_PERCENT],
  initial: () => null,
  want(own, view) {
    const fits = switchOver(view);
    if (fits !== undefined) return { own, reason: fits, end: 'stop-and-copy' };
    const { observation, goal } = view;
    if (observation.type !== 'round-start') return wait(own);
    const free = option(goal, FREE_ROUNDS);
    const step = option(goal, STEP_PERCENT);
    const steps = Math.max(0, observation.round - free + 1);
    if (steps === 0) return { own, speed: 1, reason: because('free-round', `round ${observation.round} of ${free} free ones`) };
    const speed = Math.max(0, 1 - (step / 100) * steps);
    const numbers = { round: observation.round, steps, speedPercent: Math.round(100 * speed) };
    return { own, speed, reason: because('step', `step ${steps} down: ${numbers.speedPercent} % of its demand`, numbers) };
  },
});
