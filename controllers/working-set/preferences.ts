import { type CpuPercent, capPercent, cpuPercent, type Goal, type Preference, type Profile, type Weights } from '../../src/core/index.ts';

/** Live rounds that are planned for when nobody limits them: Clark et al. (NSDI'05) stop after 29, too. */
export const ROUNDS_OPEN = 30;

/**
 * Slew limit of a profile: from one round to the next the mean speed may fall to this share of itself.
 * progressive halves, gradual takes a fifth, steep (0) goes straight to the floor.
 */
const SLEW: Readonly<Record<Profile, number>> = { progressive: 0.5, gradual: 0.8, steep: 0 };

export const slewOf = (goal: Goal): number => SLEW[goal.profile];

/**
 * What one second of migration is worth in seconds of lost guest work. It is also the price of bytes: the link is busy all along.
 * downtime: next to nothing, but more than nothing, or another free round would always be free. speed: as much as the guest. network: the
 * fewest bytes that still meet the target (above this nothing more is saved in the shipped scenarios).
 */
const TIME_WEIGHT: Readonly<Record<Preference, number>> = { downtime: 0.02, safety: 0.02, network: 4, speed: 1 };
/** Letting go and falling again pays the fall twice: a course that does must be better by this factor. */
const RELEASE = 1.25;
/** A change of the speed that gains less than this is noise. */
const CHANGE = 0.96;

/**
 * Each free round that did not get smaller raises the price of time by so much of itself: the estimate of the next round may be a little
 * below the present one for ever, and the fall would be put off for ever.
 */
const IMPATIENCE = 2;

export const weightsOf = (goal: Goal, falling: boolean, plateau = 0): Weights => ({
  time: TIME_WEIGHT[goal.prefer] * (1 + IMPATIENCE * plateau),
  release: falling ? RELEASE : 1,
  change: CHANGE,
});

/** Waiting for a calm keeps the link busy: only those who do not count bytes or time wait. */
export const waitsForCalm = ({ prefer }: Goal): boolean => prefer === 'downtime' || prefer === 'safety';

/** Whether a target out of reach is relaxed rather than the migration given up: an evacuation in a hurry does so, too, if it says until when. */
export const relaxesTarget = (goal: Goal): boolean =>
  goal.onMiss === 'proceed' || (goal.prefer === 'speed' && goal.deadlineMs !== undefined);

/** Why, in the words of the command line. */
export const whyItGoesOn = (goal: Goal): string =>
  goal.onMiss === 'proceed' ? '--on-miss proceed' : '--prefer speed with a deadline relaxes the target last';

/** `safety` never throttles below this share of what the domain may use. */
const SAFE_SHARE = 0.5;

/** The floor of the caps that may be chosen: the goal's; `safety` stays well above it. */
export function floorPercent(goal: Goal): CpuPercent {
  const ceiling = Math.min(goal.capCeilingPercent, capPercent(goal.domain.capOriginal, goal.domain.vcpus));
  const floor =
    goal.prefer === 'safety' ? Math.max(goal.capFloorPercent, SAFE_SHARE * 100 * goal.domain.activeVcpus) : goal.capFloorPercent;
  return cpuPercent(Math.min(ceiling, Math.max(1, floor)));
}
