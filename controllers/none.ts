import { because, type Controller } from '../src/core/index.ts';
import { hold } from './baseline.ts';

/*
 * none: stock Xen, the baseline of all baselines.
 *
 * Source: Xen, tools/libs/guest/xg_sr_save.c, simple_precopy_policy.
 *
 *   stop after 5 live rounds, or before a round of fewer than 50 pages; suspend whatever is left then
 *
 * No throttle, no gate: a suspend request is always granted. Where the pre-copy policy is ours it answers as Xen's own would, so that
 * "none" means the same on every host.
 */

/** SPP_MAX_ITERATIONS: live rounds. */
const ROUNDS_MAX = 5;
/** SPP_TARGET_DIRTY_COUNT: fewer dirty pages end the rounds. */
const DIRTY_PAGES_TARGET = 50;

export const none: Controller<null> = {
  name: 'none',
  summary: 'stock Xen: no throttle, five rounds, then suspended with whatever is left',
  initial: () => null,
  decide(state, observation) {
    if (observation.type === 'suspend-request') return [state, { action: 'grant', reason: because('stock', 'granted, as stock Xen does') }];
    if (observation.type === 'policy-query') {
      const rounds = observation.when === 'after' ? observation.round + 1 : observation.round;
      const dirty = observation.dirtyPages;
      const few = observation.when === 'before' && dirty !== undefined && dirty < DIRTY_PAGES_TARGET;
      if (few || rounds >= ROUNDS_MAX) {
        const text = few ? `${dirty} dirty pages, fewer than ${DIRTY_PAGES_TARGET}` : `${rounds} live rounds were sent`;
        return [
          state,
          { action: 'stop-and-copy', reason: because('stock', text, { rounds, ...(dirty === undefined ? {} : { dirtyPages: dirty }) }) },
        ];
      }
    }
    return [state, hold(because('stock', 'stock Xen does not throttle'))];
  },
};
