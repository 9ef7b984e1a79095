import {
  bytesPerSecond,
  exactly,
  type Goal,
  lowest,
  type PlanModel,
  type PlanStart,
  pagesSurelyWithin,
  pagesThatSurelyFit,
  type Track,
} from '../../src/core/index.ts';
import { ratesWhereItFits } from './fits.ts';
import type { Outlook } from './outlook.ts';
import { floorPercent, ROUNDS_OPEN, slewOf } from './preferences.ts';
import { reachable } from './relax.ts';

/** What would have made the target reachable, in words and numbers; empty when nothing alone would. */
export interface Remedies {
  readonly text: string;
  readonly numbers: Readonly<Record<string, number>>;
}

/** No more than this factor of bandwidth is worth naming. */
const BANDWIDTH_FACTOR_MAX = 64;

/** The bandwidth, floor, timeslice or number of rounds that alone would make the target reachable, by the likely model; and a target that is. */
export function remedies(track: Track, view: Outlook, goal: Goal): Remedies {
  const { likely, start } = view;
  const parts: string[] = [];
  const numbers: Record<string, number> = {};
  const fits = (model: PlanModel, from: PlanStart = start): boolean => lowest(model, from).fits;
  const factor = smallest(1, BANDWIDTH_FACTOR_MAX, (f) => fits(faster(f, track, view, goal)));
  if (factor !== undefined && track.transferRate !== undefined) {
    numbers['needBytesPerSecond'] = Math.round(track.transferRate.value * factor);
    parts.push(`${Math.round((numbers['needBytesPerSecond'] * 8) / 1e6)} Mbit/s of bandwidth`);
  }
  const eased = easier(view, goal, fits);
  if (eased !== undefined) parts.push(eased);
  const deeper = goal.prefer === 'safety' ? undefined : smallest(1, 50, (f) => fits({ ...likely, floorSpeed: likely.floorSpeed / f }));
  if (deeper !== undefined && goal.capabilities.scheduler === 'credit') {
    const floor = floorPercent(goal);
    const lower = Math.max(1, Math.floor(floor / deeper));
    const perVcpu = (percent: number): number => 100 / (percent / goal.domain.activeVcpus) + 1;
    numbers['needFloorPercent'] = lower;
    numbers['needTsliceMs'] = Math.max(1, Math.floor((goal.capabilities.tsliceMs * perVcpu(floor)) / perVcpu(lower)));
    parts.push(`a floor of ${lower} % (or a timeslice of ${numbers['needTsliceMs']} ms, which allows it at the same stall)`);
  }
  const rounds = smallest(start.roundsLeft, ROUNDS_OPEN, (n) => fits(likely, { ...start, roundsLeft: Math.ceil(n) }));
  if (rounds !== undefined && Math.ceil(rounds) > start.roundsLeft) {
    numbers['needRoundsLeft'] = Math.ceil(rounds);
    parts.push(`${Math.ceil(rounds)} more rounds`);
  }
  const target = Math.ceil(reachable(view, goal));
  numbers[goal.maxDirtyPages === undefined ? 'needTargetMs' : 'needMaxDirtyPages'] = target;
  parts.push(goal.maxDirtyPages === undefined ? `a target of ${target} ms` : `--max-dirty-pages ${target}`);
  return { text: parts.length === 0 ? '' : `; enough would be ${parts.join(', or ')}`, numbers };
}

/** A profile that falls faster, or a preference that may go as deep as the floor, where that alone is in the way. */
function easier({ likely }: Outlook, goal: Goal, fits: (model: PlanModel) => boolean): string | undefined {
  const profile = (['progressive', 'steep'] as const).find((p) => {
    const slew = slewOf({ ...goal, profile: p });
    return slew < likely.slew && fits({ ...likely, slew });
  });
  if (profile !== undefined) return `--profile ${profile}`;
  if (goal.prefer !== 'safety') return undefined;
  const floorSpeed = (likely.floorSpeed * floorPercent({ ...goal, prefer: 'downtime' })) / floorPercent(goal);
  return fits({ ...likely, floorSpeed }) ? '--prefer downtime' : undefined;
}

/** The likely model on a link `factor` times as fast, which also sends more within the target. */
function faster(factor: number, track: Track, { likely, ratesAt }: Outlook, goal: Goal): PlanModel {
  const rate = bytesPerSecond((track.transferRate?.value ?? 0) * factor);
  const fullRate = ratesWhereItFits(ratesAt, rate, goal);
  const most =
    goal.maxDirtyPages === undefined
      ? pagesThatSurelyFit(goal.targetDowntimeMs, fullRate, exactly(rate), goal)
      : pagesSurelyWithin(goal.maxDirtyPages, fullRate, goal);
  const slicePages = goal.maxDirtyPages === undefined ? (fullRate.value * goal.capabilities.tsliceMs) / 1000 : 0;
  return {
    ...likely,
    pagesPerMs: likely.pagesPerMs * factor,
    pagesPerMsLater: likely.pagesPerMsLater * factor,
    fitPagesFree: most,
    fitPagesLifted: most,
    fitPages: Math.max(0, most - slicePages),
  };
}

/** The smallest of a range that will do, to a few percent; undefined when not even the largest does. */
function smallest(from: number, to: number, enough: (value: number) => boolean): number | undefined {
  if (!enough(to)) return undefined;
  let [low, high] = [from, to];
  for (let k = 0; k < 12 && high / low > 1.02; k++) {
    const middle = Math.sqrt(low * high);
    if (enough(middle)) high = middle;
    else low = middle;
  }
  return high;
}
