import { controllerByName } from '../../controllers/registry.ts';
import type { Controller, Decision, Observation, Profile } from '../../src/core/index.ts';
import { type SimResult, simulate } from '../../src/sim/run.ts';
import type { NamedScenario } from '../../src/sim/scenario-files.ts';
import { type Case, optionsOf, type SetName, scenarioOfCase } from './case.ts';
import { isBelow, luckyLostSeconds, type Reference, referenceOf } from './reference.ts';
import { type Variant, variants } from './variants.ts';

/** What one controller did in one case. Times in milliseconds unless named otherwise. */
export interface Row {
  readonly set: SetName;
  readonly scenario: string;
  readonly seed: number;
  readonly variant: string;
  readonly profile: Profile;
  readonly outcome: string;
  /** Migrated, and the true downtime is within the target. */
  readonly attained: boolean;
  readonly targetMs: number;
  readonly observedMs: number | null;
  readonly predictedMs: number | null;
  readonly predictedHighMs: number | null;
  /** Seconds of the guest's time: ∫ (1 − speed) dt. */
  readonly lostSeconds: number;
  readonly stallMs: number;
  /** The standstill around the switch-over: downtime, and a stall that joins it; null without one. */
  readonly gapMs: number | null;
  readonly stallAllowedMs: number;
  readonly totalSeconds: number;
  readonly bytes: number;
  readonly rounds: number;
  /** Round in which it first said that the target cannot be met; null if it never did. */
  readonly saidInfeasibleRound: number | null;
  /** It ended the migration before the suspend was even asked for. */
  readonly gaveUp: boolean;
  readonly decisions: number;
}

export interface CaseResult {
  readonly case: Case;
  readonly rows: readonly Row[];
  readonly references: References;
  /** What the planner would lose with the best luck of parking: where a row lost less than the even one. */
  readonly luckyLostSeconds: LuckyLost;
  /** But for noise, guest and link keep their pace: no phases, bursts, sags or stalls. What changes by itself nobody can foresee but the planner. */
  readonly steady: boolean;
  /** Seconds of this machine: one migration, all decisions included, and one plan. */
  readonly cost: { readonly simulateSeconds: number; readonly planSeconds: number };
}

const isSteady = ({ bursts, phases, link }: NamedScenario): boolean =>
  bursts === undefined && phases.length === 0 && link.sags.length === 0 && link.stalls === undefined;

const PROFILES: readonly Profile[] = ['progressive', 'steep', 'gradual'];

type References = Readonly<Record<Profile, Reference>>;
type LuckyLost = Readonly<Partial<Record<Profile, number>>>;

/** The planner on one case, under each slew limit. */
export const referencesOf = (scenario: NamedScenario, seed: number): References =>
  Object.fromEntries(PROFILES.map((profile) => [profile, referenceOf(scenario, seed, optionsOf(scenario, profile))])) as Record<
    Profile,
    Reference
  >;

/** Runs every controller and the planner on one case; `planned`: what the planner said of it before. */
export function measure(of: Case, wanted: readonly Variant[] = variants, planned?: References): CaseResult {
  const scenario = scenarioOfCase(of);
  const planAt = performance.now();
  const references = planned ?? referencesOf(scenario, of.seed);
  const simulateAt = performance.now();
  const rows = wanted.map((variant) => rowOf(of, scenario, variant));
  const doneAt = performance.now();
  const cost = {
    simulateSeconds: (doneAt - simulateAt) / 1000 / wanted.length,
    planSeconds: (simulateAt - planAt) / 1000 / PROFILES.length,
  };
  return { case: of, rows, references, luckyLostSeconds: luckyOf(rows, references, scenario), steady: isSteady(scenario), cost };
}

function luckyOf(rows: readonly Row[], references: References, scenario: NamedScenario): LuckyLost {
  const below = rows.filter(({ profile, attained, lostSeconds }) => {
    const plan = references[profile];
    return attained && plan.attained && isBelow(lostSeconds, plan.lostSeconds, plan);
  });
  return Object.fromEntries(
    [...new Map(below.map(({ profile, seed }) => [profile, seed]))].map(([profile, seed]) => [
      profile,
      luckyLostSeconds(scenario, seed, optionsOf(scenario, profile)),
    ]),
  );
}

function rowOf(of: Case, scenario: NamedScenario, variant: Variant): Row {
  const seen: Seen = { round: 0, saidInfeasibleRound: null, gaveUp: false };
  const result = simulate({
    scenario: variant.peek ? scenario : { ...scenario, host: { ...scenario.host, peek: false } },
    seed: of.seed,
    controller: watched(controllerByName(variant.controller), seen),
    options: optionsOf(scenario, variant.profile, variant.options, variant.prefer),
    ...(variant.mechanism === undefined ? {} : { world: { mechanism: variant.mechanism } }),
  });
  return {
    set: of.set,
    scenario: scenario.name,
    seed: of.seed,
    variant: variant.name,
    profile: variant.profile,
    ...readings(result, seen),
  };
}

interface Seen {
  round: number;
  saidInfeasibleRound: number | null;
  gaveUp: boolean;
}

/** The controller, and what it said on the way. */
function watched(controller: Controller, seen: Seen): Controller {
  return {
    ...controller,
    initial: (goal) => controller.initial(goal),
    decide(state, observation, goal) {
      const answer = controller.decide(state, observation, goal);
      note(seen, observation, answer[1]);
      return answer;
    },
  };
}

function note(seen: Seen, observation: Observation, decision: Decision): void {
  if (observation.type === 'round-start') seen.round = observation.round;
  const hopeless = decision.forecast?.feasible === false || decision.action === 'abort';
  if (hopeless) seen.saidInfeasibleRound ??= seen.round;
  if (decision.action === 'abort') seen.gaveUp = true;
}

function readings({ summary, truth, goal, decisions }: SimResult, seen: Seen) {
  const target = goal.targetDowntimeMs;
  return {
    outcome: summary.outcome,
    attained: truth.result === 'migrated' && truth.downtimeMs !== null && truth.downtimeMs <= target,
    targetMs: target,
    observedMs: truth.downtimeMs,
    predictedMs: summary.predictedDowntimeMs,
    predictedHighMs: summary.predictedDowntimeRangeMs?.high ?? null,
    lostSeconds: truth.lostGuestSeconds,
    stallMs: truth.longestStallMs,
    gapMs: truth.switchOverGapMs,
    stallAllowedMs: goal.maxStallMs,
    totalSeconds: truth.totalSeconds,
    bytes: truth.bytesSent,
    rounds: truth.rounds,
    saidInfeasibleRound: seen.saidInfeasibleRound,
    gaveUp: seen.gaveUp,
    decisions,
  };
}
