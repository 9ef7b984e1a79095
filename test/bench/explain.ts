import { EPSILON_SHARE } from './aggregate.ts';
import type { CaseResult, Row } from './measure.ts';
import type { Reference } from './reference.ts';
import { type BenchReport, SET_NAMES, SET_TITLES } from './report.ts';
import { textTable } from './text.ts';

const HEAD = ['case', 'planner', 'row', 'downtime', 'predicted', 'target', 'lost s', 'planner’s', '×', 'rounds', 'said no-go'] as const;

/** One line a case for one row of the table: what failed first, then by lost work over the planner's. */
export function explained(report: BenchReport, variant: string): string {
  return SET_NAMES.map((name) => {
    const lines = report.sets[name].results.flatMap((r) => lineOf(r, variant)).sort((a, b) => b.badness - a.badness);
    return `\n${variant}, ${SET_TITLES[name]}\n${textTable([HEAD, ...lines.map((l) => l.cells)])}`;
  }).join('');
}

function lineOf(result: CaseResult, variant: string): readonly { readonly badness: number; readonly cells: readonly string[] }[] {
  const row = result.rows.find((r) => r.variant === variant);
  if (row === undefined) return [];
  const plan = result.references[row.profile];
  const epsilon = EPSILON_SHARE * plan.guestSeconds;
  const ratio = (row.lostSeconds + epsilon) / (plan.lostSeconds + epsilon);
  return [{ badness: badnessOf(row, plan, ratio), cells: cellsOf(row, plan, ratio) }];
}

function badnessOf(row: Row, plan: Reference, ratio: number): number {
  if (plan.feasible && !row.attained) return 1e6;
  if (plan.attained && !row.attained) return 1e4;
  if (!plan.attained && (row.saidInfeasibleRound ?? 99) > 1) return 1e3;
  return plan.attained ? ratio : 0;
}

function cellsOf(row: Row, plan: Reference, ratio: number): readonly string[] {
  const whole = (value: number | null): string => (value === null ? '–' : value.toFixed(0));
  return [
    `${row.scenario}/${row.seed}`,
    plan.feasible ? 'feasible' : plan.attained ? 'reachable' : 'no',
    row.attained ? 'met' : row.outcome,
    whole(row.observedMs),
    whole(row.predictedMs),
    whole(row.targetMs),
    row.lostSeconds.toFixed(2),
    plan.attained ? plan.lostSeconds.toFixed(2) : '–',
    plan.attained ? ratio.toFixed(2) : '–',
    `${row.rounds}/${plan.rounds}`,
    whole(row.saidInfeasibleRound),
  ];
}
