import { type Controller, stockDecision } from '../src/core/index.ts';

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

export const none: Controller<null> = {
  name: 'none',
  summary: 'stock Xen: no throttle, five rounds, then suspended with whatever is left',
  options: [],
  ignores: ['profile', 'prefer'],
  initial: () => null,
  decide: (state, observation) => [state, stockDecision(observation)],
};
