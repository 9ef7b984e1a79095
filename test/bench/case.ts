import { type GoalOptions, type Preference, type Profile, ROUNDS_MAX_DEFAULT } from '../../src/core/index.ts';
import { suggestedOptions } from '../../src/sim/run.ts';
import { loadScenario, type NamedScenario, scenarioNames } from '../../src/sim/scenario-files.ts';
import { drawScenario } from './held-out.ts';

export type SetName = 'tuned' | 'heldOut';

/** One guest, link and noise, that every controller meets. */
export interface Case {
  readonly set: SetName;
  /** A shipped scenario's name, or the number of a drawn one. */
  readonly scenario: string | number;
  readonly seed: number;
}

export interface CaseCounts {
  /** Seeds for each shipped scenario. */
  readonly seeds: number;
  /** Drawn scenarios. */
  readonly drawn: number;
}

/** All cases of a run; everything in them follows from the one seed. */
export function casesOf(seed: number, counts: CaseCounts): readonly Case[] {
  const tuned = scenarioNames().flatMap((scenario) =>
    Array.from({ length: counts.seeds }, (_, n): Case => ({ set: 'tuned', scenario, seed: seed + n })),
  );
  const drawn = Array.from({ length: counts.drawn }, (_, scenario): Case => ({ set: 'heldOut', scenario, seed }));
  return [...tuned, ...drawn];
}

export const scenarioOfCase = ({ scenario, seed }: Case): NamedScenario =>
  typeof scenario === 'string' ? loadScenario(scenario) : drawScenario(seed, scenario);

/** Live rounds: stock's where it decides, else as many as a user gets who asks for nothing else. */
export const roundsOf = (scenario: NamedScenario): number => scenario.host.roundLimit ?? ROUNDS_MAX_DEFAULT;

export const optionsOf = (
  scenario: NamedScenario,
  profile: Profile,
  options: Readonly<Record<string, number>> = {},
  prefer: Preference = 'downtime',
): GoalOptions => ({
  ...suggestedOptions(scenario),
  prefer,
  maxRounds: roundsOf(scenario),
  profile,
  options,
});
