import fc from 'fast-check';
import type { Controller } from '../../src/core/controller.ts';
import { because, capped, type Decision } from '../../src/core/index.ts';
import type { Observation } from '../../src/core/observation.ts';
import { ms } from '../../src/core/units.ts';
import type { ScenarioInput } from '../../src/sim/scenario.ts';
import { type NamedScenario, scenarioOf } from '../../src/sim/scenario-files.ts';

const pattern = fc.constantFrom('uniform' as const, 'sweep' as const, 'hot-cold' as const);

const pageClass = (name: string, most: number) =>
  fc.record({
    name: fc.constant(name),
    pages: fc.integer({ min: 10, max: most }),
    writesPerSecond: fc.integer({ min: 0, max: 200_000 }),
    pattern,
    ignoresCpu: fc.boolean(),
  });

/** Scenarios of every kind: small to large, quiet to hopeless, noisy or not, stock rounds or our own policy. */
export const anyScenario: fc.Arbitrary<NamedScenario> = fc
  .record({
    memoryMib: fc.integer({ min: 64, max: 8192 }),
    vcpus: fc.integer({ min: 1, max: 8 }),
    demandShare: fc.double({ min: 0.05, max: 1, noNaN: true }),
    capOriginalPercent: fc.oneof({ arbitrary: fc.constant(0), weight: 3 }, fc.integer({ min: 5, max: 100 })),
    classCount: fc.integer({ min: 1, max: 3 }),
    classes: fc.tuple(pageClass('a', 5000), pageClass('b', 5000), pageClass('c', 5000)),
    linkMegabytes: fc.integer({ min: 20, max: 2000 }),
    linkSd: fc.constantFrom(0, 0.1, 0.3),
    writeSd: fc.constantFrom(0, 0.1),
    bursts: fc.constantFrom(undefined, { meanGapSeconds: 2, lengthSeconds: 0.5, scale: 5 }),
    stalls: fc.constantFrom(undefined, { meanGapSeconds: 3, lengthSeconds: 1, share: 0 }),
    repeat: fc.constantFrom(undefined, 3),
    roundLimit: fc.constantFrom(undefined, 5, 3),
    peek: fc.boolean(),
    scheduler: fc.constantFrom('credit' as const, 'credit2' as const),
    countSd: fc.constantFrom(0, 0.02),
  })
  .map((p) => {
    const input: ScenarioInput = {
      description: 'drawn',
      domain: {
        memoryMib: p.memoryMib,
        vcpus: p.vcpus,
        cpuDemandPercent: Math.max(1, 100 * p.vcpus * p.demandShare),
        capOriginalPercent: p.capOriginalPercent,
      },
      classes: p.classes.slice(0, p.classCount),
      rateVariation: { sd: p.writeSd },
      ...(p.bursts === undefined ? {} : { bursts: p.bursts }),
      phases: [{ atSeconds: 1, scale: { a: 3 }, cpuDemandPercent: 50 }],
      ...(p.repeat === undefined ? {} : { phasesRepeatSeconds: p.repeat }),
      link: { bytesPerSecond: p.linkMegabytes * 1e6, variation: { sd: p.linkSd }, ...(p.stalls === undefined ? {} : { stalls: p.stalls }) },
      host: { ...(p.roundLimit === undefined ? {} : { roundLimit: p.roundLimit }), peek: p.peek, scheduler: p.scheduler },
      dirtyCount: { sd: p.countSd },
    };
    return scenarioOf(input);
  });

export const anySeed = fc.integer({ min: 0, max: 2 ** 40 });

const reason = because('test', 'scripted');

/** A controller that does what the script says, one entry an observation, round and round. JSON-serialisable state. */
export const scripted = (script: readonly number[]): Controller<number> => ({
  name: 'scripted',
  summary: 'for tests',
  initial: () => 0,
  decide: (step, observation) => [step + 1, answer(script[step % script.length] ?? 0, observation)],
});

/** 0: hold, 1 … 100: that cap, 101: uncap, 102: abort. Suspend requests are granted, policies stopped after five rounds. */
function answer(entry: number, observation: Observation): Decision {
  if (observation.type === 'suspend-request') {
    if (entry === 102) return { action: 'deny', reason };
    return entry > 50 ? { action: 'grant', runFirstMs: ms(30), reason } : { action: 'grant', reason };
  }
  if (observation.type === 'policy-query' && observation.round >= 4) return { action: 'stop-and-copy', reason };
  if (entry === 0) return { action: 'hold', reason };
  if (entry === 101) return { action: 'uncap', reason };
  return entry === 102 ? { action: 'abort', reason } : { action: 'set-cap', cap: capped(entry), reason };
}

/** Mostly holds, some caps, an abort now and then. */
export const anyScript = fc.array(
  fc.oneof(
    { arbitrary: fc.constant(0), weight: 10 },
    { arbitrary: fc.integer({ min: 1, max: 101 }), weight: 5 },
    { arbitrary: fc.constant(102), weight: 1 },
  ),
  { minLength: 1, maxLength: 60 },
);

/** Grants, and stops a policy after five rounds: stock Xen. */
export const stock = scripted([0]);

/** From round `round` on the given cap. */
export const capFrom = (round: number, percent: number): Controller<null> => ({
  name: `cap-${percent}`,
  summary: 'for tests',
  initial: () => null,
  decide: (state, observation) => [
    state,
    answer(observation.type === 'round-start' && observation.round === round ? percent : 0, observation),
  ],
});
