import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { capToXen, type MigrationRecord, type Observation, stallOf, WIRE_BYTES_PER_PAGE } from '../../src/core/index.ts';
import { ms } from '../../src/core/units.ts';
import { control } from '../../src/loop.ts';
import { goalOf, simulate } from '../../src/sim/run.ts';
import { scenarioOf } from '../../src/sim/scenario-files.ts';
import { SimHost } from '../../src/sim/sim-host.ts';
import { World } from '../../src/sim/world.ts';
import { anyScenario, anyScript, anySeed, scripted } from './arbitrary.ts';

const anyRun = [anyScenario, anySeed, anyScript] as const;
const runOf = (...[scenario, seed, script]: [Parameters<typeof simulate>[0]['scenario'], number, readonly number[]]) =>
  simulate({ scenario, seed, controller: scripted(script), records: true });
const observationsOf = (records: readonly MigrationRecord[]): readonly Observation[] =>
  records.flatMap((r) => (r.type === 'observation' ? [r.observation] : []));

/** The first pair of entries that differ: a full diff of thousands of records would take minutes while shrinking. */
function firstDifference(a: readonly unknown[], b: readonly unknown[]): unknown {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    if (!isDeepStrictEqual(a[i], b[i])) return { index: i, a: a[i], b: b[i] };
  }
  return undefined;
}

describe('simulated migrations', () => {
  it('give the same records for the same seed', () => {
    fc.assert(
      fc.property(...anyRun, (scenario, seed, script) => {
        expect(firstDifference(runOf(scenario, seed, script).records, runOf(scenario, seed, script).records)).toBeUndefined();
      }),
    );
  });

  it('give the same records through loop and host as through the synchronous driver', async () => {
    await fc.assert(
      fc.asyncProperty(...anyRun, async (scenario, seed, script) => {
        const fast = runOf(scenario, seed, script);
        const host = new SimHost({ runs: [{ scenario, seed }] });
        const records: MigrationRecord[] = [];
        for (const migration of host.migrations) {
          await control(migration, {
            controller: scripted(script),
            goal: goalOf(migration.world),
            sink: { write: (record) => void records.push(record), close: async () => undefined },
            start: { scenario: scenario.name, seed },
          });
        }
        expect(firstDifference(records, fast.records)).toBeUndefined();
      }),
      { numRuns: 40 },
    );
  });

  it('go forward in time and bytes, and account for every byte as a page on the wire', () => {
    fc.assert(
      fc.property(...anyRun, (scenario, seed, script) => {
        const { records, truth } = runOf(scenario, seed, script);
        let [atMs, sent] = [0, 0];
        for (const o of observationsOf(records)) {
          expect(o.atMs).toBeGreaterThanOrEqual(atMs);
          atMs = o.atMs;
          if (!('bytesSent' in o) || o.bytesSent === undefined) continue;
          expect(o.bytesSent).toBeGreaterThanOrEqual(sent);
          expect(o.bytesSent % WIRE_BYTES_PER_PAGE).toBe(0);
          sent = o.bytesSent;
        }
        expect(truth.bytesSent).toBe(sent);
      }),
    );
  });

  it('send in each round what was counted at its start, and in the end what was dirty', () => {
    fc.assert(
      fc.property(anyScenario, anySeed, anyScript, (drawn, seed, script) => {
        const { records, truth } = runOf({ ...drawn, dirtyCount: { sd: 0, excessPages: 0 } }, seed, script);
        const populated = drawn.domain.memoryMib * 256;
        const counted = observationsOf(records).flatMap((o) => (o.type === 'round-start' ? [Math.min(o.pagesToSend, populated)] : []));
        const finished = truth.pagesAfterSuspend;
        if (finished === null) return;
        expect(truth.bytesSent).toBe((counted.reduce((a, b) => a + b, 0) + finished) * WIRE_BYTES_PER_PAGE);
      }),
    );
  });

  it('never count more dirty pages than the classes hold', () => {
    fc.assert(
      fc.property(anyScenario, anySeed, anyScript, (drawn, seed, script) => {
        const scenario = { ...drawn, dirtyCount: { sd: 0, excessPages: 0 } };
        const most = scenario.classes.reduce((sum, c) => sum + c.pages, 0);
        for (const o of observationsOf(runOf(scenario, seed, script).records)) {
          if (o.type === 'round-start' && o.round > 0) expect(o.pagesToSend).toBeLessThanOrEqual(most);
          if ((o.type === 'sample' || o.type === 'suspend-request') && o.dirtyPages !== undefined)
            expect(o.dirtyPages).toBeLessThanOrEqual(most);
        }
      }),
    );
  });

  it('keep events bounded whatever the size', () => {
    fc.assert(
      fc.property(...anyRun, (scenario, seed, script) => {
        const { records, truth, summary } = runOf(scenario, seed, script);
        // A controller that answers every change with another one makes as many more as the latency of its calls allows.
        const told = observationsOf(records).filter((o) => o.type !== 'cap-changed').length;
        expect(told).toBeLessThan(130 * (truth.rounds + 2));
        expect(summary.totalSeconds).toBeCloseTo(truth.totalSeconds, 6);
      }),
    );
  });

  it('stand still no longer than the law of the lowest cap in force allows', () => {
    fc.assert(
      fc.property(...anyRun, (scenario, seed, script) => {
        const { truth, goal } = runOf(scenario, seed, script);
        const own = capToXen(goal.domain.capOriginal);
        const lowest = Math.min(truth.capPercentMin ?? Number.POSITIVE_INFINITY, own === 0 ? Number.POSITIVE_INFINITY : own);
        const { activeVcpus } = goal.domain;
        const bound = Number.isFinite(lowest) ? stallOf(lowest, activeVcpus, scenario.host.scheduler, ms(scenario.host.tsliceMs)) : 0;
        expect(truth.longestStallMs).toBeLessThanOrEqual(bound + 1e-6);
      }),
    );
  });

  it('never put a cap of 0 or above the original into force, and end with the original', () => {
    fc.assert(
      fc.property(...anyRun, (scenario, seed, script) => {
        const { records, summary, goal } = runOf(scenario, seed, script);
        const own = capToXen(goal.domain.capOriginal);
        for (const o of observationsOf(records)) {
          if (o.type !== 'cap-changed') continue;
          const cap = capToXen(o.cap);
          if (own > 0) expect(cap).toBeLessThanOrEqual(own);
          if (cap !== own) expect(cap).toBeGreaterThanOrEqual(goal.capFloorPercent);
        }
        expect(summary.capAfter).toBe(own);
      }),
    );
  });

  it('meet the same noise whatever is decided: with device writers alone every script sees the same rounds', () => {
    fc.assert(
      fc.property(anyScenario, anySeed, anyScript, (drawn, seed, script) => {
        const scenario = {
          ...drawn,
          classes: drawn.classes.map((c) => ({ ...c, ignoresCpu: true })),
          dirtyCount: { sd: 0, excessPages: 0 },
        };
        const countOf = (entries: readonly number[], round: number): number | undefined =>
          observationsOf(runOf(scenario, seed, entries).records).flatMap((o) =>
            o.type === 'round-start' && o.round === round ? [o.pagesToSend] : [],
          )[0];
        const steered = script.filter((entry) => entry !== 102);
        // Sums in another order may round a count by one page; a page more makes the next round longer, so it is compared only without.
        const [first, firstFree] = [countOf(steered, 1) ?? 0, countOf([0], 1) ?? 0];
        expect(Math.abs(first - firstFree)).toBeLessThanOrEqual(1);
        if (first === firstFree) expect(Math.abs((countOf(steered, 2) ?? 0) - (countOf([0], 2) ?? 0))).toBeLessThanOrEqual(1);
      }),
      { numRuns: 50 },
    );
  });

  it('go on from a clone exactly as the original goes on', () => {
    fc.assert(
      fc.property(...anyRun, fc.integer({ min: 1, max: 60 }), (scenario, seed, script, forkAt) => {
        const world = new World(scenario, seed);
        const goal = goalOf(world);
        const play = (w: World, from: number, until: number): readonly unknown[] => {
          const controller = scripted(script);
          const seen: unknown[] = [];
          for (let i = from; i < until; i++) {
            const o = w.next();
            if (o === undefined) break;
            seen.push(o, w.apply(controller.decide(i, o, goal)[1]));
          }
          return seen;
        };
        play(world, 0, forkAt);
        const other = world.clone();
        expect(firstDifference(play(other, forkAt, forkAt + 500), play(world, forkAt, forkAt + 500))).toBeUndefined();
        expect(other.truth()).toEqual(world.truth());
      }),
    );
  });
});

describe('the cost of a cap', () => {
  const quiet = scenarioOf({
    description: 'noise-free',
    domain: { memoryMib: 1024, vcpus: 2, cpuDemandPercent: 180 },
    classes: [{ name: 'heap', pages: 100_000, writesPerSecond: 40_000 }],
    link: { bytesPerSecond: 1e8 },
    suspend: { timeMs: 10, sd: 0 },
    resume: { timeMs: 40, sd: 0 },
    host: { roundLimit: 5, parking: false, actuatorLatencyMs: 0 },
  });

  /** Work lost and pages dirty `afterMs` into a migration that is capped from its start. */
  const workAfter = (percent: number, afterMs: number) => {
    const world = new World(quiet, 1);
    const controller = scripted([percent]);
    for (let o = world.next(); o !== undefined && o.atMs < afterMs; o = world.next())
      world.apply(controller.decide(0, o, goalOf(world))[1]);
    return { ...world.truth(), dirty: world.dirtyPages() };
  };

  it('more cap never loses more work nor dirties fewer pages over the same time', () => {
    const cap = fc.integer({ min: 1, max: 100 });
    fc.assert(
      fc.property(cap, cap, fc.integer({ min: 100, max: 5000 }), (a, b, afterMs) => {
        const [low, high] = [workAfter(Math.min(a, b), afterMs), workAfter(Math.max(a, b), afterMs)];
        expect(high.lostWorkSeconds).toBeLessThanOrEqual(low.lostWorkSeconds + 1e-9);
        expect(high.dirty).toBeGreaterThanOrEqual(low.dirty);
      }),
    );
  });

  it('is nothing for a cap above the demand', () => {
    expect(workAfter(185, 5000).lostWorkSeconds).toBe(0);
    expect(workAfter(179, 5000).lostWorkSeconds).toBeGreaterThan(0);
  });
});
