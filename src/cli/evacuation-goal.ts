import type { GoalOptions } from '../core/options.ts';
import { floorFor } from '../core/stall.ts';
import { ms } from '../core/units.ts';
import { type EvacuationOptions, type Order, ROUNDS_EVACUATION } from '../evacuate/plan.ts';
import type { EvacuateArguments } from './evacuate.ts';
import { goalOptionsOf } from './options.ts';
import { parseBandwidth, parseWhole } from './quantities.ts';

const PARALLEL_MAX = 16;
const TRIES_MAX = 5;
/** credit1's own. */
const TSLICE_MS = ms(30);

/** What the arguments ask of every migration, and of all together. Throws XthrottleError('usage'). */
export function evacuationGoal(
  argv: EvacuateArguments,
  otherwise?: Pick<GoalOptions, 'targetDowntimeMs'>,
): { readonly goal: GoalOptions; readonly evacuation: EvacuationOptions } {
  const { deadlineMs, ...goal } = goalOptionsOf(argv, otherwise);
  const stall = goal.maxStallMs ?? goal.targetDowntimeMs;
  const evacuation = {
    order: argv.order as Order,
    tries: parseWhole('--tries', argv.tries, 1, TRIES_MAX),
    targetDowntimeMs: goal.targetDowntimeMs,
    floorSpeed: floorFor(stall, 1, 'credit', TSLICE_MS) / 100,
    ...(argv.parallel === undefined ? {} : { parallel: parseWhole('--parallel', argv.parallel, 1, PARALLEL_MAX) }),
    ...(argv.bandwidth === undefined ? {} : { link: parseBandwidth('--bandwidth', argv.bandwidth) }),
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
    ...(goal.maxRounds === undefined ? { firstRounds: ROUNDS_EVACUATION } : {}),
  };
  return { goal: { maxRounds: ROUNDS_EVACUATION, profile: 'steep', ...goal }, evacuation };
}
