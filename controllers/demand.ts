import { type Cap, type CpuPercent, capPercent, cpuPercent, type Goal, type Ms, type Observation } from '../src/core/index.ts';

/** What a guest uses when nothing holds it back, learned from the CPU time in samples. JSON-serialisable. */
export interface Demand {
  /** Percent of one pCPU, over all vCPUs; unknown until the guest was seen running unthrottled. */
  readonly percent?: CpuPercent;
  readonly last?: { readonly atMs: Ms; readonly cpuTimeMs: Ms };
}

/** Weight of a new reading. */
const WEIGHT = 0.3;
/** Shorter spans say more about parking and scheduling than about demand. */
const SPAN_MS_MIN = 50;

/**
 * Folds an observation in. `cap` is the cap that was in force since the last sample. Under one of ours nothing is learned: a parked guest's
 * short readings lie on both sides of its cap, and those above would have to be left out.
 */
export function learnDemand(demand: Demand, observation: Observation, cap: Cap, goal: Goal): Demand {
  if (observation.type === 'cap-changed') return demand.percent === undefined ? {} : { percent: demand.percent };
  if (observation.type !== 'sample' || observation.cpuTimeMs === undefined) return demand;
  const at = { atMs: observation.atMs, cpuTimeMs: observation.cpuTimeMs };
  const { last } = demand;
  if (last === undefined) return { ...demand, last: at };
  const span = at.atMs - last.atMs;
  if (span < SPAN_MS_MIN) return demand;
  const used = ((at.cpuTimeMs - last.cpuTimeMs) / span) * 100;
  const most = capPercent(cap, goal.domain.vcpus);
  if (most < goal.capCeilingPercent || used <= 0) return { ...demand, last: at };
  const percent = demand.percent === undefined ? used : demand.percent + WEIGHT * (used - demand.percent);
  return { percent: cpuPercent(Math.min(percent, 100 * goal.domain.activeVcpus)), last: at };
}

/** The demand to reckon with: all that the active vCPUs can use while it is unknown, never above the domain's own cap. */
export const demandPercent = (demand: Demand, goal: Goal): CpuPercent =>
  cpuPercent(Math.max(1, Math.min(goal.capCeilingPercent, demand.percent ?? 100 * goal.domain.activeVcpus)));
