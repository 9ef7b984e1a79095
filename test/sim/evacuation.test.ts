import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { stepDown } from '../../controllers/step-down.ts';
import { workingSet } from '../../controllers/working-set.ts';
import type { Controller } from '../../src/core/controller.ts';
import { bytesPerSecond, ms } from '../../src/core/units.ts';
import { type EvacuationOptions, ROUNDS_EVACUATION } from '../../src/evacuate/plan.ts';
import { clairvoyant, simulateEvacuation } from '../../src/sim/evacuation.ts';
import { drawHost, type HostToDrain } from '../../src/sim/evacuation-draw.ts';
import { scenarioOf } from '../../src/sim/scenario-files.ts';
import { World } from '../../src/sim/world.ts';

const LINK = bytesPerSecond(1e9);
const calm = (name: string, memoryMib: number, writesPerSecond = 500) =>
  scenarioOf(
    {
      description: 'a guest of a host to drain',
      domain: { name, memoryMib, vcpus: 1, cpuDemandPercent: 60 },
      classes: [{ name: 'app', pages: 2000, writesPerSecond }],
      link: { bytesPerSecond: LINK },
      suggested: { targetDowntimeMs: 300 },
    },
    name,
  );
const hostOf = (sizes: readonly number[], streamMax = LINK): HostToDrain => ({
  link: LINK,
  streamMax,
  scenarios: sizes.map((size, i) => calm(`vm${i}`, size)),
});
const OPTIONS: EvacuationOptions = { order: 'auto', tries: 2, targetDowntimeMs: ms(300), floorSpeed: 0.11, link: LINK };
const drain = (host: HostToDrain, change: Partial<EvacuationOptions> = {}, controller: unknown = stepDown) =>
  simulateEvacuation({
    host,
    seed: 1,
    controller: controller as Controller,
    goal: { targetDowntimeMs: ms(300) },
    evacuation: { ...OPTIONS, ...change },
  });

describe('a link that several migrations share', () => {
  it('carries as much as it can, whoever uses it: two at a time send no more a second than one', () => {
    const [one, two] = [drain(hostOf([4096, 4096]), { parallel: 1 }), drain(hostOf([4096, 4096]), { parallel: 2 })];
    for (const run of [one, two]) {
      expect(run.evacuation.entries.every(({ status }) => status === 'moved')).toBe(true);
      expect(run.linkShare).toBeLessThanOrEqual(1.001);
    }
    // Only xl's own time around each is saved.
    expect(two.totalSeconds).toBeLessThan(one.totalSeconds);
    expect(two.totalSeconds).toBeGreaterThan(one.totalSeconds - 3);
  });
  it('that one stream does not fill is found out after the first, and filled', () => {
    const host = hostOf([1024, 4096, 4096, 4096, 4096], bytesPerSecond(LINK / 2));
    const [alone, auto] = [drain(host, { parallel: 1 }), drain(host)];
    expect(auto.totalSeconds).toBeLessThan(0.65 * alone.totalSeconds);
    expect(auto.evacuation.streamRate).toBeGreaterThan(0.4 * LINK);
    expect(auto.evacuation.streamRate).toBeLessThan(0.6 * LINK);
  });
  it('planned anew in the middle of a round: every page is sent once, and at the new rate', () => {
    const stream = {
      rate: 1e6,
      sentAt: (from: number, bytes: number) => from + bytes / stream.rate,
      bytesUntil: (at: number) => at * stream.rate,
    };
    const world = new World(calm('vm', 1024), 1, { link: stream });
    let halved = 0;
    let last = 0;
    for (let o = world.next(); o !== undefined && !(o.type === 'round-start' && o.round === 1); o = world.next()) {
      if ('bytesSent' in o && o.bytesSent !== undefined) {
        expect(o.bytesSent).toBeGreaterThanOrEqual(last);
        last = o.bytesSent;
      }
      if (halved === 0 && last > 0.5e9) {
        halved = world.atMs;
        stream.rate = 0.5e6;
        world.relink();
      }
    }
    const bytes = 1024 * 256 * 4104;
    expect(last).toBe(bytes);
    expect(world.atMs).toBeGreaterThan(0.95 * (halved + (bytes - halved * 1e6) / 0.5e6));
    expect(world.atMs).toBeLessThan(1.1 * (halved + (bytes - halved * 1e6) / 0.5e6));
  });
});

describe('a host that is drained', () => {
  it('of any size, in any order and number at a time: every guest is moved or left with a reason, and the same seed gives the same', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 64, max: 2048 }), { minLength: 1, maxLength: 5 }),
        fc.constantFrom('auto' as const, 'smallest' as const, 'largest' as const),
        fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
        (sizes, order, parallel) => {
          const options = { order, ...(parallel === undefined ? {} : { parallel }) };
          const run = drain(hostOf(sizes), options);
          for (const { status, why, attempts } of run.evacuation.entries) {
            expect(attempts.length).toBeGreaterThan(0);
            expect(status === 'moved' || (status === 'left' && why !== '')).toBe(true);
          }
          expect(run.totalSeconds).toBeGreaterThanOrEqual(sizes.reduce((sum, size) => sum + size * 2 ** 20, 0) / LINK);
          expect(drain(hostOf(sizes), options).totalSeconds).toBe(run.totalSeconds);
        },
      ),
      { numRuns: 10 },
    );
  });
  // `xthrottle evacuate --simulate 20 --seed N` measures it on as many guests as one likes.
  it('takes at most 15 % longer than the best order that is known beforehand, and moves no fewer', () => {
    const host = drawHost(3, 6);
    const options = {
      host,
      seed: 3,
      controller: workingSet as unknown as Controller,
      goal: { targetDowntimeMs: ms(300), profile: 'steep' as const, maxRounds: ROUNDS_EVACUATION },
      evacuation: { ...OPTIONS, link: host.link },
      probed: true,
    };
    const [run, best] = [simulateEvacuation(options), clairvoyant({ ...options, tried: [0, 1, 2, 3, 4, 5], orders: 1 })];
    expect(run.evacuation.entries.filter(({ status }) => status === 'moved').length).toBeGreaterThanOrEqual(best.moved);
    expect(best.totalSeconds).toBeGreaterThanOrEqual(best.leastSeconds);
    expect(run.totalSeconds / best.totalSeconds).toBeLessThanOrEqual(1.15);
  });
});
