import type { CaseResult, Row } from './measure.ts';
import type { Reference } from './reference.ts';

export const row = (patch: Partial<Row> = {}): Row => ({
  set: 'tuned',
  scenario: 'guest',
  seed: 1,
  variant: 'mine',
  profile: 'steep',
  outcome: 'met',
  attained: true,
  targetMs: 200,
  observedMs: 150,
  predictedMs: 150,
  predictedHighMs: 180,
  lostSeconds: 0,
  stallMs: 0,
  gapMs: 150,
  stallAllowedMs: 200,
  totalSeconds: 100,
  bytes: 1e9,
  rounds: 5,
  saidInfeasibleRound: null,
  gaveUp: false,
  decisions: 100,
  ...patch,
});

export const reference = (patch: Partial<Reference> = {}): Reference => ({
  attained: true,
  feasible: true,
  lostSeconds: 0,
  totalSeconds: 100,
  guestSeconds: 100,
  bytes: 1e9,
  rounds: 5,
  downtimeMs: 190,
  ...patch,
});

export const NOT_REACHABLE = reference({ attained: false, feasible: false });

export const result = (rows: readonly Row[], plan: Reference = reference(), slewed: Reference = plan, steady = false): CaseResult => ({
  case: { set: rows[0]?.set ?? 'tuned', scenario: rows[0]?.scenario ?? 'guest', seed: rows[0]?.seed ?? 1 },
  rows,
  luckyLostSeconds: {},
  references: { steep: plan, progressive: slewed, gradual: slewed },
  steady,
  cost: { simulateSeconds: 0.01, planSeconds: 0.02 },
});
