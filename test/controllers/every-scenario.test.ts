import { describe, expect, it } from 'vitest';
import { controllers } from '../../controllers/registry.ts';
import { type Controller, capToXen, type Observation, stepper } from '../../src/core/index.ts';
import { goalOf, suggestedOptions } from '../../src/sim/run.ts';
import { loadScenario, scenarioNames } from '../../src/sim/scenario-files.ts';
import { World } from '../../src/sim/world.ts';

const SEED = 11;
const ROUNDS_OWN_POLICY = 12;
const OBSERVATIONS_MAX = 50_000;

/** How often the second run's state goes through JSON: at every observation it would be most of the test's time. */
const STORED_EVERY = 7;

/** Runs one migration twice over: once as it is, once with a state that goes through JSON again and again. */
function run(controller: Controller, name: string): { readonly world: World; readonly requests: number; readonly caps: readonly number[] } {
  const scenario = loadScenario(name);
  const roundsMax = scenario.host.roundLimit ?? ROUNDS_OWN_POLICY;
  const world = new World(scenario, SEED, { roundsMax });
  const goal = goalOf(world, { ...suggestedOptions(scenario), maxRounds: roundsMax });
  const steps = stepper(controller, goal);
  let step = steps.initial;
  let stored = steps.initial;
  const caps: number[] = [];
  let requests = 0;
  let count = 0;
  for (let o: Observation | undefined = world.next(); o !== undefined; o = world.next()) {
    step = steps.next(step, o);
    const again = steps.next(count % STORED_EVERY === 0 ? JSON.parse(JSON.stringify(stored)) : stored, o);
    if (JSON.stringify(again.decision) !== JSON.stringify(step.decision)) {
      expect(again.decision, `${controller.name} decides otherwise after a JSON round trip at ${JSON.stringify(o)}`).toEqual(step.decision);
    }
    stored = again;
    const { decision } = step;
    if (o.type === 'suspend-request') {
      requests++;
      expect(['grant', 'deny']).toContain(decision.action);
    }
    if (decision.action === 'set-cap') caps.push(capToXen(decision.cap));
    world.apply(decision);
    if (++count > OBSERVATIONS_MAX) throw new Error(`${controller.name} in ${name} does not end`);
  }
  const floor = Math.min(goal.capFloorPercent, goal.capCeilingPercent);
  for (const cap of caps) {
    expect(cap).toBeGreaterThanOrEqual(Math.max(1, floor));
    expect(cap).toBeLessThan(goal.capCeilingPercent);
  }
  return { world, requests, caps };
}

describe.each(controllers.map((c) => [c.name, c] as const))('%s', (_, controller) => {
  it.each(scenarioNames())('ends in %s, within bounds, and decides the same from a stored state', (name) => {
    const { world, requests } = run(controller, name);
    expect(['migrated', 'stayed']).toContain(world.ending?.result);
    expect(requests).toBeLessThanOrEqual(1);
    expect(capToXen(world.domain.capOriginal)).toBe(loadScenario(name).domain.capOriginalPercent);
  });
});
