import type { CaseResult, Row } from './measure.ts';
import { isBelow, type Reference } from './reference.ts';
import { geometricMean, quantile } from './statistics.ts';
import { QEMU } from './variants.ts';

/** Ratios are (c + ε)/(p + ε), with ε this share of the guest time of the planner's migration. */
export const EPSILON_SHARE = 0.01;

export interface Spread {
  readonly median: number | null;
  readonly p95: number | null;
}

/** One controller over one set. `n…` say how many cases stand behind a figure. */
export interface Aggregate {
  readonly scenarios: number;
  /** The planner attains 0.75 × target within 0.75 × rounds. */
  readonly feasible: number;
  /** Of the feasible. */
  readonly attained: number;
  /** The planner attains the target at all, and how many of those the controller attained. */
  readonly reachable: number;
  readonly attainedReachable: number;
  /** The planner does not attain the target at all, and how often the controller said so in the first two rounds. */
  readonly infeasible: number;
  readonly verdictInTime: number;
  /** Feasible ones that it called infeasible or gave up on before the suspend was asked for. */
  readonly wrongVerdicts: number;
  /** Suspensions granted although the upper predicted bound exceeds the target. */
  readonly grantedAbove: number;
  readonly lostWorkRatio: Spread & { readonly n: number };
  /** Cases in which it lost less than the planner by more than the planner's own step, whatever the luck of parking. */
  readonly beatsPlanner: number;
  /** … and those in which the planner could have lost as little, had it the best luck. */
  readonly parkingLuck: number;
  /** Geometric mean where both attain and either lost work: where neither did there is nothing to compare. */
  readonly lostWorkVsAutoConverge: number | null;
  /** What the clairvoyant planner would have lost on the same cases, against auto-converge: nothing can do better. */
  readonly plannerVsAutoConverge: number | null;
  /** The same over all cases that both attain. */
  readonly lostWorkVsAutoConvergeAll: number | null;
  readonly totalTimeVsAutoConverge: number | null;
  readonly nBothAttain: number;
  readonly nBothAttainThrottled: number;
  readonly totalTimeRatio: Spread;
  readonly bytesRatio: Spread;
  readonly observedMs: Spread;
  readonly predictedMs: Spread;
  readonly lostSeconds: Spread;
  readonly totalSeconds: Spread;
  readonly rounds: Spread;
  readonly stallMaxMs: number;
  readonly stallsAboveAllowed: number;
  /** Met by the downtime, but a stall that joined it made the guest's gap longer than the target. */
  readonly gapsAboveTarget: number;
  readonly predictionErrorP90: number | null;
  readonly nPredicted: number;
}

/** A row beside the planner's plan for the same case under the same slew limit. */
interface Pair {
  readonly row: Row;
  readonly plan: Reference;
  readonly luckyLostSeconds: number;
  readonly epsilon: number;
}

const spread = (values: readonly number[]): Spread => ({ median: quantile(values, 0.5), p95: quantile(values, 0.95) });

/** Stalls are drawn from a law with a bound: more than this above it is an outlier, not rounding. */
const STALL_SLACK_MS = 1;

export function aggregate(results: readonly CaseResult[], variant: string): Aggregate {
  const pairs = results.flatMap((r) => r.rows.filter((row) => row.variant === variant).map((row) => pairOf(row, r)));
  const feasible = pairs.filter((p) => p.plan.feasible);
  const reachable = pairs.filter((p) => p.plan.attained);
  const infeasible = pairs.filter((p) => !p.plan.attained);
  const compared = reachable.filter((p) => p.row.attained);
  const below = compared.filter(({ row, plan }) => isBelow(row.lostSeconds, plan.lostSeconds, plan));
  const moved = pairs.filter((p) => p.row.observedMs !== null);
  const errors = moved.flatMap(({ row }) =>
    row.predictedMs === null || row.observedMs === null ? [] : [Math.abs(row.predictedMs - row.observedMs) / row.observedMs],
  );
  return {
    scenarios: pairs.length,
    feasible: feasible.length,
    attained: feasible.filter((p) => p.row.attained).length,
    reachable: reachable.length,
    attainedReachable: compared.length,
    infeasible: infeasible.length,
    verdictInTime: infeasible.filter(({ row }) => row.saidInfeasibleRound !== null && row.saidInfeasibleRound <= 1).length,
    wrongVerdicts: feasible.filter(({ row }) => row.saidInfeasibleRound !== null || row.gaveUp).length,
    grantedAbove: moved.filter(({ row }) => row.predictedHighMs !== null && row.predictedHighMs > row.targetMs).length,
    lostWorkRatio: { ...spread(compared.map(lostRatio)), n: compared.length },
    beatsPlanner: below.filter((p) => !isLuck(p)).length,
    parkingLuck: below.filter(isLuck).length,
    ...againstQemu(results, variant),
    totalTimeRatio: spread(compared.map(({ row, plan }) => row.totalSeconds / plan.totalSeconds)),
    bytesRatio: spread(compared.map(({ row, plan }) => row.bytes / plan.bytes)),
    observedMs: spread(moved.map((p) => p.row.observedMs as number)),
    predictedMs: spread(moved.flatMap((p) => p.row.predictedMs ?? [])),
    lostSeconds: spread(pairs.map((p) => p.row.lostSeconds)),
    totalSeconds: spread(pairs.map((p) => p.row.totalSeconds)),
    rounds: spread(pairs.map((p) => p.row.rounds)),
    stallMaxMs: Math.max(0, ...pairs.map((p) => p.row.stallMs)),
    stallsAboveAllowed: pairs.filter(({ row }) => row.stallMs > row.stallAllowedMs + STALL_SLACK_MS).length,
    gapsAboveTarget: pairs.filter(({ row }) => row.attained && row.gapMs !== null && row.gapMs > row.targetMs).length,
    predictionErrorP90: quantile(errors, 0.9),
    nPredicted: errors.length,
  };
}

function pairOf(row: Row, { references, luckyLostSeconds }: CaseResult): Pair {
  const plan = references[row.profile];
  return { row, plan, luckyLostSeconds: luckyLostSeconds[row.profile] ?? plan.lostSeconds, epsilon: EPSILON_SHARE * plan.guestSeconds };
}

const isLuck = ({ row, plan, luckyLostSeconds }: Pair): boolean => !isBelow(row.lostSeconds, luckyLostSeconds, plan);

const lostRatio = ({ row, plan, epsilon }: Pair): number => (row.lostSeconds + epsilon) / (plan.lostSeconds + epsilon);

function againstQemu(results: readonly CaseResult[], variant: string) {
  const both = results.flatMap((r) => {
    const row = r.rows.find((x) => x.variant === variant);
    const qemu = r.rows.find((x) => x.variant === QEMU);
    if (row === undefined || qemu === undefined || !row.attained || !qemu.attained) return [];
    const epsilon = EPSILON_SHARE * r.references[row.profile].guestSeconds;
    const plan = r.references[row.profile];
    const lost = (row.lostSeconds + epsilon) / (qemu.lostSeconds + epsilon);
    const planned = (plan.lostSeconds + epsilon) / (qemu.lostSeconds + epsilon);
    return [{ lost, planned, total: row.totalSeconds / qemu.totalSeconds, throttled: row.lostSeconds + qemu.lostSeconds > epsilon }];
  });
  const throttled = both.filter((b) => b.throttled);
  return {
    lostWorkVsAutoConvergeAll: geometricMean(both.map((b) => b.lost)),
    lostWorkVsAutoConverge: geometricMean(throttled.map((b) => b.lost)),
    plannerVsAutoConverge: geometricMean(throttled.map((b) => b.planned)),
    totalTimeVsAutoConverge: geometricMean(both.map((b) => b.total)),
    nBothAttain: both.length,
    nBothAttainThrottled: throttled.length,
  };
}
