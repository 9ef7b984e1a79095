import type { Controller } from '../core/controller.ts';
import type { Goal } from '../core/goal.ts';
import { type GoalOptions, goalFor, type PairOverhead } from '../core/options.ts';
import { type MigrationRecord, RECORD_VERSION, type SummaryRecord } from '../core/record.ts';
import { stepper } from '../core/step.ts';
import { initialTally, summarise, tally } from '../core/summary.ts';
import { ms } from '../core/units.ts';
import type { Ending } from '../host.ts';
import { learnedPair } from './facts.ts';
import type { NamedScenario } from './scenario-files.ts';
import { migrationId, restoreIn } from './sim-migration.ts';
import type { Truth } from './truth.ts';
import { World, type WorldOptions } from './world.ts';

export interface SimulateOptions {
  readonly scenario: NamedScenario;
  readonly seed: number;
  readonly controller: Controller;
  /** Default: the scenario's suggested target and longest stall. */
  readonly options?: GoalOptions;
  /** What is known of the pair of hosts; default: what earlier migrations between them taught. */
  readonly pair?: PairOverhead;
  readonly world?: WorldOptions;
  /** Keep every record, not only the summary. */
  readonly records?: boolean;
}

export interface SimResult {
  readonly summary: SummaryRecord;
  readonly truth: Truth;
  readonly goal: Goal;
  readonly ending: Ending;
  /** Observations that were decided on. */
  readonly decisions: number;
  /** Empty unless asked for. */
  readonly records: readonly MigrationRecord[];
}

/** Options that suit a scenario: its suggested target and longest stall. */
export const suggestedOptions = ({ suggested }: NamedScenario): GoalOptions => ({
  targetDowntimeMs: ms(suggested.targetDowntimeMs),
  ...(suggested.maxStallMs === undefined ? {} : { maxStallMs: ms(suggested.maxStallMs) }),
});

/** The goal of a simulated migration. */
export const goalOf = (world: World, options?: GoalOptions, pair?: PairOverhead): Goal =>
  goalFor(options ?? suggestedOptions(world.scenario), world.domain, world.capabilities, pair ?? learnedPair(world.scenario));

/** Runs one migration to its end, synchronously: the loop without rxjs, for benchmarks. Gives the records that loop and simulated host give. */
export function simulate(run: SimulateOptions): SimResult {
  const { scenario, seed, controller } = run;
  const maxRounds = run.options?.maxRounds;
  const world = new World(scenario, seed, { ...(maxRounds === undefined ? {} : { roundsMax: maxRounds }), ...run.world });
  const goal = goalOf(world, run.options, run.pair);
  const id = migrationId(world);
  const records: MigrationRecord[] = [];
  const write = (record: MigrationRecord): void => {
    if (run.records === true) records.push(record);
  };
  write({
    type: 'start',
    v: RECORD_VERSION,
    id,
    host: 'simulated',
    controller: controller.name,
    observe: false,
    goal,
    destination: 'simulated',
    scenario: scenario.name,
    seed,
  });
  const steps = stepper(controller, goal);
  let step = steps.initial;
  let sum = initialTally(goal);
  let decisions = 0;
  for (let observation = world.next(); observation !== undefined; observation = world.next()) {
    write({ type: 'observation', id, observation });
    step = steps.next(step, observation);
    const { decision } = step;
    sum = tally(sum, observation, decision, goal);
    write({ type: 'decision', id, atMs: observation.atMs, decision });
    const effect = world.apply(decision);
    if (decision.action !== 'hold') write({ type: 'effect', id, atMs: world.atMs, action: decision.action, ...effect });
    decisions++;
  }
  const ending = world.ending ?? { result: 'unknown' };
  const restored = restoreIn(world);
  write({ type: 'effect', id, atMs: world.atMs, action: 'restore', result: 'applied' });
  const reason = sum.abortDecision?.reason.text ?? ending.reason;
  const close = {
    id,
    controller: controller.name,
    result: ending.result,
    ...(reason === undefined ? {} : { reason }),
    abortedByUs: sum.abortDecision !== undefined,
    ...(ending.downtimeMs === undefined ? {} : { observedDowntimeMs: ending.downtimeMs, observedDowntimeSource: 'simulated' as const }),
    capAfter: restored.capAfter,
    capRestored: restored.restored,
    seed,
  };
  const summary = summarise(sum, close, goal);
  write(summary);
  return { summary, truth: world.truth(), goal, ending, decisions, records };
}
