import { because, type Controller, capped, type GoalOptions, ms } from '../../src/core/index.ts';
import { simulate } from '../../src/sim/run.ts';
import type { NamedScenario } from '../../src/sim/scenario-files.ts';

export interface Reference {
  readonly attained: boolean;
  readonly feasible: boolean;
  readonly lostSeconds: number;
  readonly totalSeconds: number;
  readonly guestSeconds: number;
  readonly bytes: number;
  readonly rounds: number;
}

/** TEMPORARY until src/sim/planner.ts is there. */
const scripted = (from: number, share: number, stop: number): Controller => ({
  name: 's',
  summary: 's',
  initial: () => null,
  decide: (state, o, goal) => {
    const reason = because('s', 's');
    if (o.type === 'suspend-request') return [state, { action: 'grant', reason }];
    if (o.type === 'policy-query' && o.when === 'after' && o.round + 1 >= stop) return [state, { action: 'stop-and-copy', reason }];
    if (o.type === 'round-start' && o.round >= from)
      return [state, { action: 'set-cap', cap: capped(Math.max(goal.capFloorPercent, share * goal.capCeilingPercent)), reason }];
    return [state, { action: 'hold', reason }];
  },
});

function best(scenario: NamedScenario, seed: number, options: GoalOptions, targetMs: number, rounds: number) {
  let found: ReturnType<typeof simulate> | undefined;
  const stops = scenario.host.roundLimit === undefined ? [rounds, Math.ceil(rounds / 2)] : [rounds];
  for (const stop of stops)
    for (let from = 1; from <= rounds; from += 1)
      for (const share of [0, 0.4]) {
        const r = simulate({
          scenario,
          seed,
          controller: scripted(from, share, stop),
          options: { ...options, maxRounds: rounds, onMiss: 'proceed' },
        });
        if (
          (r.truth.downtimeMs ?? Infinity) <= targetMs &&
          (found === undefined || r.truth.lostGuestSeconds < found.truth.lostGuestSeconds)
        )
          found = r;
      }
  return found;
}

export function referenceOf(scenario: NamedScenario, seed: number, options: GoalOptions): Reference {
  const rounds = options.maxRounds ?? 5;
  const plan = best(scenario, seed, options, options.targetDowntimeMs, rounds);
  const feasible =
    plan !== undefined && best(scenario, seed, options, 0.75 * options.targetDowntimeMs, Math.floor(0.75 * rounds)) !== undefined;
  const t = plan?.truth;
  return {
    attained: plan !== undefined,
    feasible,
    lostSeconds: t?.lostGuestSeconds ?? 0,
    totalSeconds: t?.totalSeconds ?? 1,
    guestSeconds: (t?.totalSeconds ?? 1) - ms(t?.downtimeMs ?? 0) / 1000,
    bytes: t?.bytesSent ?? 1,
    rounds: t?.rounds ?? 1,
  };
}
