import { because, bytesPerSecond, type ControllerOption, pageRate, pagesThatFit } from '../src/core/index.ts';
import { baseline, option, roundsLeft, streamRate, switchOver, wait } from './baseline.ts';
import { lastFinished } from './dirty-rate.ts';

/*
 * jin: CPU scheduling by the dirty rate that the target allows.
 *
 * Source: Jin et al., "Optimizing the live migration of virtual machine by CPU scheduling", JNCA 2011 (on Xen's credit scheduler); the
 * abstract and the model are published, the exact rule is reconstructed here.
 *
 *   D(f) = f·D₁            dirty rate is proportional to the CPU share f; D₁: at full speed
 *   engaged once R stops shrinking (R_n: pages that round n sends)
 *   ρ = (R_target / R_n)^(1/rounds left),   f = clamp(ρ·B / D₁, f_min, 1)
 *
 * D₁ is taken when it engages and kept: the model has no phases. f_min is the floor.
 */

/** As many as stock Xen has in all. */
const ROUNDS_AHEAD: ControllerOption = {
  name: 'roundsAhead',
  summary: 'rounds to plan over where there is no limit',
  byDefault: 5,
  min: 1,
  max: 1000,
  whole: true,
};
const STALL_PERCENT: ControllerOption = {
  name: 'stallPercent',
  summary: 'rounds have stopped shrinking when one is above so much of the one before',
  byDefault: 95,
  min: 1,
  max: 100,
  whole: false,
};

interface JinState {
  /** D₁, pages per second; set once engaged. */
  readonly fullRate?: number;
  readonly engagedRound?: number;
}

export const jin = baseline<JinState>({
  name: 'jin',
  summary: 'CPU share by the dirty rate that the target allows, once rounds stop shrinking (Jin et al. 2011)',
  options: [ROUNDS_AHEAD, STALL_PERCENT],
  initial: () => ({}),
  want(own, view) {
    const fits = switchOver(view);
    if (fits !== undefined) return { own, reason: fits, end: 'stop-and-copy' };
    const { track, goal, observation } = view;
    const last = lastFinished(track);
    const rate = streamRate(track);
    if (observation.type !== 'round-start' || last === undefined || rate === undefined) return wait(own);
    const sending = Math.min(observation.pagesToSend, goal.domain.populatedPages);
    const stalled = sending >= (option(goal, STALL_PERCENT) / 100) * last.pagesToSend;
    if (own.fullRate === undefined && !stalled) return { own, reason: because('shrinking', `${sending} pages after ${last.pagesToSend}`) };
    const fullRate = own.fullRate ?? last.dirtyRate;
    const engagedRound = own.engagedRound ?? observation.round;
    const ahead = option(goal, ROUNDS_AHEAD);
    const left = roundsLeft(view) ?? Math.max(0, ahead - (observation.round - engagedRound) - 1);
    const fit = Math.max(1, pagesThatFit(goal.targetDowntimeMs, fullRate, bytesPerSecond(rate), goal));
    const ratio = (fit / Math.max(1, sending)) ** (1 / (left + 1));
    const share = Math.min(1, (ratio * pageRate(bytesPerSecond(rate))) / fullRate);
    const numbers = {
      dirtyRate: Math.round(fullRate),
      roundsLeft: left,
      targetPages: Math.round(fit),
      speedPercent: Math.round(100 * share),
    };
    const text = `${sending} pages to bring to ${numbers.targetPages} in ${left + 1} rounds: ${numbers.speedPercent} % of the CPU`;
    return { own: { fullRate, engagedRound }, speed: share, reason: because('share', text, numbers) };
  },
});
