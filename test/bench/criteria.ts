import type { Aggregate } from './aggregate.ts';
import { PLANNER_STEP_SHARE } from './reference.ts';
import { OURS } from './variants.ts';

/** One line of what the project must reach. */
export interface Criterion {
  readonly row: string;
  readonly text: string;
  readonly value: string;
  readonly limit: string;
  readonly n: number;
  readonly pass: boolean;
}

/** With the same over the steady guests and links alone. */
export interface SplitCriterion extends Criterion {
  readonly steady: string;
}

/** Each line with what it says of the steady ones, whose luck is noise alone. */
export const split = (all: readonly Criterion[], steady: readonly Criterion[]): readonly SplitCriterion[] =>
  all.map((line) => {
    const same = steady.find(({ row, text }) => row === line.row && text === line.text);
    return { ...line, steady: same === undefined || same.n === 0 ? '–' : `${same.value} (${same.n})${same.pass ? '' : ' ✗'}` };
  });

interface RatioLimits {
  readonly median: number;
  readonly p95: number;
}

const WITH_PEEK: RatioLimits = { median: 1.1, p95: 1.35 };
const WITHOUT_PEEK: RatioLimits = { median: 1.3, p95: 2 };
const REACHABLE_SHARE = 0.9;
const VERDICT_SHARE = 0.95;
const PREDICTION_ERROR = 0.15;
const QEMU_LOST = 0.5;

/** The lines for one set; a row that was not measured has none. A line without a single case behind it does not pass. */
export function criteria(rows: Readonly<Record<string, Aggregate>>): readonly Criterion[] {
  return [
    ...linesFor(rows, OURS, WITH_PEEK),
    ...linesFor(rows, `${OURS} steep`, WITH_PEEK),
    ...linesFor(rows, `${OURS} no peek`, WITHOUT_PEEK),
    ...linesFor(rows, `${OURS} steep, no peek`, WITHOUT_PEEK),
  ];
}

function linesFor(rows: Readonly<Record<string, Aggregate>>, row: string, ratios: RatioLimits): readonly Criterion[] {
  const a = rows[row];
  if (a === undefined) return [];
  const line = (text: string, n: number, value: string, limit: string, pass: boolean): Criterion => ({
    row,
    text,
    value,
    limit,
    n,
    pass: n > 0 && pass,
  });
  const atMost = (text: string, n: number, value: number | null, limit: number): Criterion =>
    line(text, n, figure(value), `≤ ${limit}`, value !== null && value <= limit);
  const none = (text: string, n: number, count: number): Criterion => line(text, n, String(count), '0', count === 0);
  const share = (text: string, n: number, count: number, least: number): Criterion =>
    line(text, n, n === 0 ? '–' : `${((100 * count) / n).toFixed(1)} %`, `≥ ${100 * least} %`, n > 0 && count / n >= least);
  return [
    share('feasible: attained', a.feasible, a.attained, 1),
    share('planner attains: attained', a.reachable, a.attainedReachable, REACHABLE_SHARE),
    none('granted above the target (upper bound)', a.scenarios, a.grantedAbove),
    atMost('lost work against the planner, median', a.lostWorkRatio.n, a.lostWorkRatio.median, ratios.median),
    atMost('lost work against the planner, 95th percentile', a.lostWorkRatio.n, a.lostWorkRatio.p95, ratios.p95),
    none(`loses less than the planner by over ${100 * PLANNER_STEP_SHARE} % of the guest time (a bug)`, a.lostWorkRatio.n, a.beatsPlanner),
    {
      ...atMost('lost work against auto-converge, where either throttled', a.nBothAttainThrottled, a.lostWorkVsAutoConverge, QEMU_LOST),
      limit: `≤ ${QEMU_LOST} (planner ${figure(a.plannerVsAutoConverge)})`,
    },
    atMost('total time against auto-converge', a.nBothAttain, a.totalTimeVsAutoConverge, 1),
    share('not reachable: said in the first two rounds', a.infeasible, a.verdictInTime, VERDICT_SHARE),
    none('wrong verdicts on feasible ones', a.feasible, a.wrongVerdicts),
    atMost('prediction error, 90th percentile', a.nPredicted, a.predictionErrorP90, PREDICTION_ERROR),
    none('stalls above the allowed', a.scenarios, a.stallsAboveAllowed),
  ];
}

export const figure = (value: number | null, digits = 2): string => (value === null ? '–' : value.toFixed(digits));
