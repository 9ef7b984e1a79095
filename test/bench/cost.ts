import { controllerByName, controllerNames, DEFAULT_CONTROLLER } from '../../controllers/registry.ts';
import { ms, type Observation, stepper } from '../../src/core/index.ts';
import { goalOf, simulate } from '../../src/sim/run.ts';
import { loadScenario } from '../../src/sim/scenario-files.ts';
import { World } from '../../src/sim/world.ts';
import type { CaseResult } from './measure.ts';
import { median, quantile } from './statistics.ts';

/** Times on the machine that ran the benchmark. */
export interface Cost {
  readonly controller: string;
  readonly decisionMicrosMedian: number;
  readonly decisionMicrosP99: number;
  readonly simulationMillis: number;
  readonly planMillis: number;
  readonly many: { readonly migrations: number; readonly seconds: number; readonly heapMebibytes: number; readonly decisions: number };
}

const SCENARIO = 'busy-database';
const REPLAYS = 5;

export function measureCost(results: readonly CaseResult[], quick: boolean): Cost {
  const controller = controllerNames.includes(DEFAULT_CONTROLLER) ? DEFAULT_CONTROLLER : 'proportional';
  const decisions = decisionMicros(controller);
  return {
    controller,
    decisionMicrosMedian: median(decisions) ?? 0,
    decisionMicrosP99: quantile(decisions, 0.99) ?? 0,
    simulationMillis: 1000 * (median(results.map((r) => r.cost.simulateSeconds)) ?? 0),
    planMillis: 1000 * (median(results.map((r) => r.cost.planSeconds)) ?? 0),
    many: manyAtOnce(controller, quick ? 20 : 1000),
  };
}

/** Each decision of a recorded migration, replayed a few times; the first replay warms up. */
function decisionMicros(name: string): readonly number[] {
  const controller = controllerByName(name);
  const run = simulate({ scenario: loadScenario(SCENARIO), seed: 1, controller, records: true });
  const observations = run.records.flatMap((r): readonly Observation[] => (r.type === 'observation' ? [r.observation] : []));
  const times: number[] = [];
  for (let replay = 0; replay <= REPLAYS; replay++) {
    const steps = stepper(controller, run.goal);
    let step = steps.initial;
    for (const observation of observations) {
      const at = performance.now();
      step = steps.next(step, observation);
      if (replay > 0) times.push(1000 * (performance.now() - at));
    }
  }
  return times;
}

/** That many migrations side by side, one observation each in turn, as a busy sidecar would have them. */
function manyAtOnce(name: string, migrations: number): Cost['many'] {
  const controller = controllerByName(name);
  const scenario = loadScenario(SCENARIO);
  const heapBefore = process.memoryUsage().heapUsed;
  const startedAt = performance.now();
  const running = Array.from({ length: migrations }, (_, index) => {
    const world = new World(scenario, index, { index });
    const steps = stepper(controller, goalOf(world, { targetDowntimeMs: ms(scenario.suggested.targetDowntimeMs) }));
    return { world, steps, step: steps.initial };
  });
  let decisions = 0;
  let heapMost = heapBefore;
  let open = running;
  while (open.length > 0) {
    open = open.filter((one) => {
      const observation = one.world.next();
      if (observation === undefined) return false;
      one.step = one.steps.next(one.step, observation);
      one.world.apply(one.step.decision);
      decisions++;
      return true;
    });
    heapMost = Math.max(heapMost, process.memoryUsage().heapUsed);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  return { migrations, seconds, decisions, heapMebibytes: Math.round((heapMost - heapBefore) / 2 ** 20) };
}
