import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { because, type Controller, capped, type GoalOptions, type Ms, ms, type Profile } from '../../src/core/index.ts';
import { capabilitiesOf } from '../../src/sim/facts.ts';
import { isFeasible, type Plan, planMigration, SLEW_OF } from '../../src/sim/planner.ts';
import { goalOf, simulate } from '../../src/sim/run.ts';
import type { ScenarioInput } from '../../src/sim/scenario.ts';
import { type NamedScenario, scenarioOf } from '../../src/sim/scenario-files.ts';
import { World } from '../../src/sim/world.ts';
import { optionsOf as benchOptions, type Case, roundsOf, scenarioOfCase } from '../bench/case.ts';

const DEMAND = 800;
const reason = because('plan', 'scripted');

/** A small guest whose caps take force at once and without parking: what the planner reckons with. */
const small = (patch: Partial<ScenarioInput> = {}): NamedScenario =>
  scenarioOf({
    description: 'a small guest',
    domain: { memoryMib: 256, vcpus: 8, cpuDemandPercent: DEMAND },
    classes: [{ name: 'heap', pages: 40_000, writesPerSecond: 60_000 }],
    link: { bytesPerSecond: 1e8, absentFramesPerSecond: 1e12 },
    suspend: { timeMs: 10, sd: 0 },
    resume: { timeMs: 30, sd: 0 },
    suspendPages: { low: 300, high: 300 },
    host: { roundLimit: 3, parking: false, actuatorLatencyMs: 0, liftLatencyMs: 0, roundOverheadMs: 1 },
    ...patch,
  });

const optionsFor = (targetDowntimeMs: number, profile: Profile = 'steep'): GoalOptions => ({
  targetDowntimeMs: ms(targetDowntimeMs),
  maxStallMs: ms(targetDowntimeMs),
  minCapPercent: 80,
  profile,
  onMiss: 'proceed',
});

const plannerFor = (scenario: NamedScenario, seed: number, options: GoalOptions, rounds: number) => ({
  goal: goalOf(new World(scenario, seed), options),
  rounds,
});

/** Runs a cap for each round and the slice the planner would run first. */
const script = (speeds: readonly number[], runFirstMs: Ms | undefined): Controller<null> => ({
  name: 'script',
  summary: 'a speed a round',
  initial: () => null,
  decide(state, o) {
    if (o.type === 'suspend-request') return [state, { action: 'grant', reason, ...(runFirstMs === undefined ? {} : { runFirstMs }) }];
    if (o.type === 'policy-query' && o.when === 'after' && o.round + 1 >= speeds.length)
      return [state, { action: 'stop-and-copy', reason }];
    if (o.type !== 'round-start') return [state, { action: 'hold', reason }];
    const speed = speeds[o.round] ?? 1;
    if (speed >= 0.9999) return [state, { action: 'uncap', reason }];
    return [state, { action: 'set-cap', cap: capped(speed * DEMAND), reason }];
  },
});

/** Caps are whole percents; so are the speeds that a script can give. */
const wholeSpeed = (speed: number): number => Math.round(speed * DEMAND) / DEMAND;

function play(scenario: NamedScenario, seed: number, speeds: readonly number[], options: GoalOptions) {
  const throttled = (speeds.at(-1) as number) < 0.9999;
  const { truth } = simulate({
    scenario,
    seed,
    controller: script(speeds, throttled ? capabilitiesOf(scenario).runFirstMs : undefined),
    options,
  });
  return { lostSeconds: truth.lostGuestSeconds, downtimeMs: truth.downtimeMs ?? Number.POSITIVE_INFINITY };
}

const STEPS = [0.1, 0.16, 0.25, 0.4, 0.63, 1];

/** Every combination of those speeds, played in the simulated world. */
function bruteForce(scenario: NamedScenario, seed: number, options: GoalOptions, rounds: number): number {
  const slew = SLEW_OF[options.profile ?? 'steep'];
  let best = Number.POSITIVE_INFINITY;
  const choose = (speeds: readonly number[]): void => {
    if (speeds.length < rounds) {
      const before = speeds.at(-1) ?? 1;
      for (const speed of STEPS) if (speed >= slew * before - 1e-9) choose([...speeds, speed]);
      return;
    }
    const { lostSeconds, downtimeMs } = play(scenario, seed, speeds, options);
    if (downtimeMs <= options.targetDowntimeMs) best = Math.min(best, lostSeconds);
  };
  choose([]);
  return best;
}

describe('clairvoyant planner', () => {
  const cases: readonly [string, NamedScenario, number, Profile][] = [
    ['a uniform writer', small(), 250, 'steep'],
    ['a hot set', small({ classes: [{ name: 'h', pages: 50_000, writesPerSecond: 60_000, pattern: 'hot-cold' }] }), 200, 'steep'],
    [
      'a sweep and a device',
      small({
        classes: [
          { name: 's', pages: 30_000, writesPerSecond: 30_000, pattern: 'sweep' },
          { name: 'd', pages: 2000, writesPerSecond: 1000, ignoresCpu: true },
        ],
      }),
      300,
      'steep',
    ],
    ['a noisy link and guest', small({ link: { bytesPerSecond: 1e8, variation: { sd: 0.2 } }, rateVariation: { sd: 0.2 } }), 250, 'steep'],
    ['a phase', small({ phases: [{ atSeconds: 9, scale: 3 }] }), 350, 'steep'],
    ['progressive', small(), 300, 'progressive'],
    ['gradual', small({ classes: [{ name: 'heap', pages: 20_000, writesPerSecond: 25_000 }] }), 400, 'gradual'],
  ];

  it.each(cases)('is a lower bound of brute force: %s', (_, scenario, target, profile) => {
    const options = optionsFor(target, profile);
    for (const seed of [1, 2]) {
      const best = bruteForce(scenario, seed, options, 3);
      const plan = planMigration(scenario, seed, plannerFor(scenario, seed, options, 3));
      // The grid is coarse; a plan may attain what no combination on it does, never the other way round.
      if (Number.isFinite(best)) expect(plan.attained).toBe(true);
      if (!plan.attained) continue;
      expect(plan.lostSeconds).toBeLessThanOrEqual(best * 1.02 + 0.01);
    }
  });

  it.each(cases)('what it plans happens when the simulated world plays it: %s', (_, scenario, target, profile) => {
    const options = optionsFor(target, profile);
    for (const seed of [1, 2, 3]) {
      const plan = planMigration(scenario, seed, plannerFor(scenario, seed, options, 3));
      if (!plan.attained) continue;
      const played = play(scenario, seed, plan.speeds.map(wholeSpeed), options);
      expect(Math.abs(played.downtimeMs / plan.downtimeMs - 1)).toBeLessThan(0.05);
      expect(Math.abs(played.lostSeconds - plan.lostSeconds)).toBeLessThan(0.03 * plan.lostSeconds + 0.03);
    }
  });

  const anySmall = fc.record({
    pages: fc.integer({ min: 2000, max: 60_000 }),
    writesPerSecond: fc.integer({ min: 1000, max: 120_000 }),
    target: fc.integer({ min: 120, max: 600 }),
    seed: fc.nat(1000),
    own: fc.boolean(),
  });
  const drawn = (p: { pages: number; writesPerSecond: number; own: boolean }): NamedScenario =>
    small({
      classes: [{ name: 'heap', pages: p.pages, writesPerSecond: p.writesPerSecond }],
      ...(p.own ? { host: { parking: false, actuatorLatencyMs: 0, liftLatencyMs: 0 } } : {}),
    });
  const planFor = (
    p: { pages: number; writesPerSecond: number; own: boolean; target: number; seed: number },
    profile: Profile,
    rounds = 4,
  ): Plan => {
    const scenario = drawn(p);
    return planMigration(scenario, p.seed, plannerFor(scenario, p.seed, optionsFor(p.target, profile), rounds));
  };

  it('keeps floor, slew limit and rounds, and says the truth about the target', () => {
    fc.assert(
      fc.property(anySmall, fc.constantFrom<Profile>('steep', 'progressive', 'gradual'), (p, profile) => {
        const plan = planFor(p, profile);
        expect(plan.rounds).toBeLessThanOrEqual(4);
        if (!plan.attained) return;
        expect(plan.downtimeMs).toBeLessThanOrEqual(p.target);
        let before = 1;
        for (const speed of plan.speeds) {
          expect(speed).toBeGreaterThanOrEqual(Math.max(80 / DEMAND, SLEW_OF[profile] * before) - 1e-9);
          before = speed;
        }
      }),
      { numRuns: 40 },
    );
  });

  it('does not merge plans whose freedom to slow down further is all that tells them apart', () => {
    // Round 0 leaves the same pages whatever its speed: a controller once lost 6.05 s here, and the planner 6.81.
    const drawn218: Case = { set: 'heldOut', scenario: 218, seed: 20121121 };
    const scenario = scenarioOfCase(drawn218);
    const rounds = roundsOf(scenario);
    const goal = goalOf(new World(scenario, drawn218.seed, { roundsMax: rounds }), benchOptions(scenario, 'progressive'));
    const plan = planMigration(scenario, drawn218.seed, { goal, rounds });
    expect(plan.attained).toBe(true);
    expect(plan.lostSeconds).toBeLessThan(6.05);
  });

  it('a tighter slew limit never costs less, a longer target never more', () => {
    fc.assert(
      fc.property(anySmall, (p) => {
        const [steep, progressive] = [planFor(p, 'steep'), planFor(p, 'progressive')];
        if (progressive.attained) {
          expect(steep.attained).toBe(true);
          expect(steep.lostSeconds).toBeLessThanOrEqual(progressive.lostSeconds * 1.03 + 0.01);
        }
        const later = planFor({ ...p, target: p.target + 100 }, 'steep');
        if (steep.attained) expect(later.lostSeconds).toBeLessThanOrEqual(steep.lostSeconds * 1.03 + 0.01);
      }),
      { numRuns: 30 },
    );
  });

  it('with the best luck of parking it never loses more, and keeps the target', () => {
    let less = 0;
    fc.assert(
      fc.property(anySmall, fc.constantFrom<Profile>('steep', 'progressive'), (p, profile) => {
        const scenario = scenarioOf({ ...drawn(p), host: { ...drawn(p).host, parking: true } }, 'parked');
        const planner = plannerFor(scenario, p.seed, optionsFor(p.target, profile), 4);
        const even = planMigration(scenario, p.seed, planner);
        const lucky = planMigration(scenario, p.seed, { ...planner, luck: 'best' });
        if (lucky.attained) expect(lucky.downtimeMs).toBeLessThanOrEqual(p.target);
        if (!even.attained) return;
        expect(lucky.attained).toBe(true);
        expect(lucky.lostSeconds).toBeLessThanOrEqual(even.lostSeconds);
        if (lucky.lostSeconds < even.lostSeconds) less += 1;
      }),
      { numRuns: 20 },
    );
    expect(less).toBeGreaterThan(0);
  });

  it('has no luck to hope for where nothing is parked, nor by default', () => {
    const parked = small({ host: { roundLimit: 3 } });
    const planner = plannerFor(parked, 1, optionsFor(250), 3);
    expect(planMigration(parked, 1, { ...planner, luck: 'even' })).toEqual(planMigration(parked, 1, planner));
    const evenly = small();
    const other = plannerFor(evenly, 1, optionsFor(250), 3);
    expect(planMigration(evenly, 1, { ...other, luck: 'best' })).toEqual(planMigration(evenly, 1, other));
  });

  it('feasible is a stronger word than attained', () => {
    fc.assert(
      fc.property(anySmall, (p) => {
        const scenario = drawn(p);
        const planner = plannerFor(scenario, p.seed, optionsFor(p.target), 4);
        if (isFeasible(scenario, p.seed, planner)) expect(planMigration(scenario, p.seed, planner).attained).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it('a guest that converges by itself costs nothing', () => {
    const plan = planFor({ pages: 3000, writesPerSecond: 500, target: 300, seed: 1, own: true }, 'steep');
    expect(plan).toMatchObject({ attained: true, lostSeconds: 0 });
  });
});
