import type { GoalOptions } from '../../src/core/index.ts';
import { isFeasible, type PlannerOptions, planMigration } from '../../src/sim/planner.ts';
import { goalOf } from '../../src/sim/run.ts';
import type { NamedScenario } from '../../src/sim/scenario-files.ts';
import { World } from '../../src/sim/world.ts';
import { roundsOf } from './case.ts';

/** What the clairvoyant planner makes of a case under one slew limit. */
export interface Reference {
  /** It meets the target at all. */
  readonly attained: boolean;
  /** It meets 0.75 × target within 0.75 × rounds. */
  readonly feasible: boolean;
  readonly lostSeconds: number;
  readonly totalSeconds: number;
  /** The guest's time at the source: all but the downtime. ε is a share of it. */
  readonly guestSeconds: number;
  readonly bytes: number;
  readonly rounds: number;
  readonly downtimeMs: number;
}

const FEASIBLE_SHARE = 0.75;

/** The planner searches over a grid of speeds; less than this share of the guest time below it is its grid, not a bug. */
export const PLANNER_STEP_SHARE = 0.01;

/** A row that lost less than a planner of the same case did, by more than that. */
export const isBelow = (lostSeconds: number, plannedSeconds: number, { guestSeconds }: Reference): boolean =>
  lostSeconds < plannedSeconds - guestSeconds * PLANNER_STEP_SHARE;

export function referenceOf(scenario: NamedScenario, seed: number, options: GoalOptions): Reference {
  const planner = plannerOf(scenario, seed, options);
  const plan = planMigration(scenario, seed, planner);
  const { attained, lostSeconds, totalSeconds, bytes, downtimeMs } = plan;
  return {
    attained,
    feasible: attained && isFeasible(scenario, seed, planner, FEASIBLE_SHARE),
    lostSeconds,
    totalSeconds,
    guestSeconds: totalSeconds - downtimeMs / 1000,
    bytes,
    rounds: plan.rounds,
    downtimeMs,
  };
}

/** What the planner would lose on a guest that is always parked when it suits best. */
export function luckyLostSeconds(scenario: NamedScenario, seed: number, options: GoalOptions): number {
  return planMigration(scenario, seed, { ...plannerOf(scenario, seed, options), luck: 'best' }).lostSeconds;
}

function plannerOf(scenario: NamedScenario, seed: number, options: GoalOptions): PlannerOptions {
  const rounds = options.maxRounds ?? roundsOf(scenario);
  return { goal: goalOf(new World(scenario, seed, { roundsMax: rounds }), options), rounds };
}
