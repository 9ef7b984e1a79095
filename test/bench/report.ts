import { type Aggregate, aggregate } from './aggregate.ts';
import type { SetName } from './case.ts';
import type { Cost } from './cost.ts';
import { criteria, type SplitCriterion, split } from './criteria.ts';
import type { CaseResult } from './measure.ts';
import type { TelemetryRow } from './telemetry.ts';

export interface SetReport {
  readonly rows: Readonly<Record<string, Aggregate>>;
  readonly criteria: readonly SplitCriterion[];
  readonly results: readonly CaseResult[];
}

export interface BenchReport {
  readonly seed: number;
  readonly quick: boolean;
  readonly seconds: number;
  readonly cost: Cost;
  readonly telemetry: readonly TelemetryRow[];
  readonly sets: Readonly<Record<SetName, SetReport>>;
}

export const SET_NAMES: readonly SetName[] = ['tuned', 'heldOut'];
export const SET_TITLES: Readonly<Record<SetName, string>> = {
  tuned: 'Shipped scenarios (tuned on)',
  heldOut: 'Held-out scenarios (drawn)',
};

export function reportOf(results: readonly CaseResult[], about: Omit<BenchReport, 'sets'>): BenchReport {
  const setOf = (name: SetName): SetReport => {
    const own = results.filter((r) => r.case.set === name);
    const names = own[0]?.rows.map((r) => r.variant) ?? [];
    const rowsOf = (results: readonly CaseResult[]) => Object.fromEntries(names.map((variant) => [variant, aggregate(results, variant)]));
    const rows = rowsOf(own);
    const steady = rowsOf(own.filter((r) => r.steady));
    return { rows, criteria: split(criteria(rows), criteria(steady)), results: own };
  };
  return { ...about, sets: { tuned: setOf('tuned'), heldOut: setOf('heldOut') } };
}

/** What `--json` writes. */
export const jsonOf = (report: BenchReport): unknown => ({
  seed: report.seed,
  quick: report.quick,
  seconds: report.seconds,
  cost: report.cost,
  telemetry: report.telemetry,
  tuned: report.sets.tuned.rows,
  heldOut: report.sets.heldOut.rows,
  criteria: { tuned: report.sets.tuned.criteria, heldOut: report.sets.heldOut.criteria },
});
