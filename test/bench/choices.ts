import { EPSILON_SHARE } from './aggregate.ts';
import type { CaseResult, Row } from './measure.ts';
import { type BenchReport, SET_NAMES } from './report.ts';
import { geometricMean } from './statistics.ts';
import { OURS } from './variants.ts';

/** What a profile or preference costs or saves against the default: geometric means of the ratios over the cases in which both meet the target. */
export interface Choice {
  readonly option: string;
  readonly cases: number;
  readonly met: number;
  readonly bothMet: number;
  readonly bytes: number | null;
  readonly time: number | null;
  readonly lostWork: number | null;
}

const OPTIONS: Readonly<Record<string, string>> = {
  [OURS]: 'the default (progressive, downtime)',
  [`${OURS} steep`]: '--profile steep',
  [`${OURS} gradual`]: '--profile gradual',
  [`${OURS} network`]: '--prefer network',
  [`${OURS} speed`]: '--prefer speed',
  [`${OURS} safety`]: '--prefer safety',
};

const rowOf = ({ rows }: CaseResult, variant: string): Row | undefined => rows.find((row) => row.variant === variant);

/** A line for each of the default's variants that was measured. */
export function choicesOf(results: readonly CaseResult[]): readonly Choice[] {
  return Object.entries(OPTIONS).flatMap(([variant, option]) => {
    const own = results.flatMap((result) => rowOf(result, variant) ?? []);
    return own.length === 0 ? [] : [{ option, cases: own.length, met: own.filter((r) => r.attained).length, ...against(results, variant) }];
  });
}

function against(results: readonly CaseResult[], variant: string): Omit<Choice, 'option' | 'cases' | 'met'> {
  const pairs = results.flatMap((result) => {
    const [row, usual] = [rowOf(result, variant), rowOf(result, OURS)];
    return row?.attained === true && usual?.attained === true ? [{ row, usual }] : [];
  });
  const mean = (of: (row: Row, usual: Row) => number): number | null => geometricMean(pairs.map(({ row, usual }) => of(row, usual)));
  return {
    bothMet: pairs.length,
    bytes: mean((row, usual) => row.bytes / usual.bytes),
    time: mean((row, usual) => row.totalSeconds / usual.totalSeconds),
    lostWork: mean((row, usual) => {
      const epsilon = EPSILON_SHARE * usual.totalSeconds;
      return (row.lostSeconds + epsilon) / (usual.lostSeconds + epsilon);
    }),
  };
}

/** Over both sets; nothing where only one row of ours was measured. */
export function choicesTable({ sets }: Pick<BenchReport, 'sets'>): readonly (readonly string[])[] {
  const rows = choiceRows(SET_NAMES.flatMap((name) => sets[name].results));
  return rows.length < 2 ? [] : [CHOICES_HEAD, ...rows];
}

const CHOICES_HEAD: readonly string[] = ['', 'met', 'bytes ×', 'time ×', 'lost work ×', 'over N'];

const choiceRows = (results: readonly CaseResult[]): readonly (readonly string[])[] =>
  choicesOf(results).map(({ option, cases, met, bothMet, bytes, time, lostWork }) => [
    option,
    `${met}/${cases}`,
    ...[bytes, time, lostWork].map((value) => (value === null ? '–' : value.toFixed(2))),
    String(bothMet),
  ]);

export const CHOICES_LEGEND =
  'Against the default, over the cases of both sets in which both meet the target (geometric means; 1 % of the default’s time is added to both sides of lost work).';
