import type { Aggregate, Spread } from './aggregate.ts';
import { figure } from './criteria.ts';

export interface Column {
  readonly head: string;
  readonly of: (a: Aggregate) => string;
}

const pair = ({ median, p95 }: Spread, digits: number): string => `${figure(median, digits)} / ${figure(p95, digits)}`;
const share = (part: number, of: number): string => `${part}/${of}`;

/** The columns of the main table, on the terminal, in the page and in the results file; pairs are median / 95th percentile. */
export const COLUMNS: readonly Column[] = [
  { head: 'N', of: (a) => String(a.scenarios) },
  { head: 'feasible met', of: (a) => share(a.attained, a.feasible) },
  { head: 'reachable met', of: (a) => share(a.attainedReachable, a.reachable) },
  { head: 'lost work ×', of: (a) => `${pair(a.lostWorkRatio, 2)} (${a.lostWorkRatio.n})` },
  { head: 'lost s', of: (a) => pair(a.lostSeconds, 1) },
  {
    head: 'vs QEMU',
    of: (a) => `${figure(a.lostWorkVsAutoConverge)}, planner ${figure(a.plannerVsAutoConverge)} (${a.nBothAttainThrottled})`,
  },
  { head: 'time ×', of: (a) => pair(a.totalTimeRatio, 2) },
  { head: 'bytes ×', of: (a) => pair(a.bytesRatio, 2) },
  { head: 'downtime ms', of: (a) => pair(a.observedMs, 0) },
  { head: 'predicted ms', of: (a) => pair(a.predictedMs, 0) },
  { head: 'error p90', of: (a) => (a.predictionErrorP90 === null ? '–' : `${(100 * a.predictionErrorP90).toFixed(0)} %`) },
  { head: 'rounds', of: (a) => pair(a.rounds, 0) },
  { head: 'stall ms', of: (a) => `${a.stallMaxMs.toFixed(0)}${a.stallsAboveAllowed === 0 ? '' : ` (${a.stallsAboveAllowed} above)`}` },
  { head: 'gap above', of: (a) => String(a.gapsAboveTarget) },
  { head: 'no-go in time', of: (a) => share(a.verdictInTime, a.infeasible) },
  { head: 'wrong', of: (a) => String(a.wrongVerdicts) },
];

export const LEGEND = [
  'Pairs are median / 95th percentile; × is against the clairvoyant planner under the same limits, (c + ε)/(p + ε), ε = 1 % of the guest time of its migration, over the N in brackets that both attain.',
  'feasible: the planner attains 0.75 × target within 0.75 × rounds; reachable: it attains the target at all. lost: seconds of the guest’s own time that throttling withheld.',
  'vs QEMU: geometric mean of lost work against auto-converge where both attain and either throttled, and what the planner would have lost there: nothing can do better (in JSON lostWorkVsAutoConverge and plannerVsAutoConverge, N nBothAttainThrottled; lostWorkVsAutoConvergeAll is over all that both attain, N nBothAttain). no-go in time: not reachable, and said so in rounds 0 or 1. gap above: the downtime met the target, but with the stall before it the guest stood longer. wrong: feasible, but called infeasible or given up.',
  'steady: the same over guests and links that keep their pace but for noise (no phases, bursts, sags or stalls), ✗ where that misses the limit. The planner knows beforehand when a guest calms down or a link recovers; nobody else can.',
  'The planner’s guest runs evenly under its caps; a real one is parked and let run in turn, and may by luck stand for all of a short last round. Where a row lost less than the planner, it is planned again with the best luck: only what is below that too is a bug, the rest is parkingLuck (JSON).',
] as const;
