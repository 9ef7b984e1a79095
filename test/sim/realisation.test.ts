import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Realisation } from '../../src/sim/realisation.ts';
import { anyScenario, anySeed } from './arbitrary.ts';

const anyTimes = fc.array(fc.double({ min: 0, max: 60_000, noNaN: true }), { minLength: 1, maxLength: 20 });

describe('the noise of a run', () => {
  it('is a function of seed and time, in whatever order it is asked for', () => {
    fc.assert(
      fc.property(anyScenario, anySeed, anyTimes, (scenario, seed, times) => {
        const [forward, backward] = [new Realisation(scenario, seed), new Realisation(scenario, seed)];
        const ask = (r: Realisation, t: number) => [r.weather(t), r.sentAt(t, 1e6), r.bytesUntil(t)];
        const first = times.map((t) => ask(forward, t));
        const second = [...times].reverse().map((t) => ask(backward, t));
        expect(second.reverse()).toEqual(first);
      }),
    );
  });

  it('differs from seed to seed where the scenario varies', () => {
    fc.assert(
      fc.property(anyScenario, anySeed, (drawn, seed) => {
        const scenario = { ...drawn, link: { ...drawn.link, variation: { sd: 0.1, correlationSeconds: 1 } } };
        expect(new Realisation(scenario, seed).bytesUntil(5000)).not.toBe(new Realisation(scenario, seed + 1).bytesUntil(5000));
      }),
    );
  });

  it('sends bytes when the link has carried them: sentAt is the inverse of bytesUntil', () => {
    fc.assert(
      fc.property(
        anyScenario,
        anySeed,
        fc.double({ min: 0, max: 20_000, noNaN: true }),
        fc.integer({ min: 1, max: 1e9 }),
        (scenario, seed, from, bytes) => {
          const r = new Realisation(scenario, seed);
          const at = r.sentAt(from, bytes);
          expect(at).toBeGreaterThanOrEqual(from);
          expect(r.bytesUntil(at) - r.bytesUntil(from)).toBeCloseTo(bytes, -2);
        },
      ),
    );
  });

  it('leaves the share of the rate that a sag says, and none in a stall', () => {
    fc.assert(
      fc.property(anyScenario, anySeed, fc.double({ min: 0, max: 1, noNaN: true }), (drawn, seed, share) => {
        const { stalls: _, ...link } = drawn.link;
        const quiet = { ...drawn, link: { ...link, variation: { sd: 0, correlationSeconds: 1 } } };
        const sagging = { ...quiet, link: { ...quiet.link, sags: [{ atSeconds: 2, lengthSeconds: 3, share, everySeconds: 10 }] } };
        const [free, sagged] = [new Realisation(quiet, seed), new Realisation(sagging, seed)];
        expect(sagged.bytesUntil(12_000) / free.bytesUntil(12_000)).toBeCloseTo((9 + 3 * share) / 12, 2);
        expect(sagged.bytesUntil(22_000) / free.bytesUntil(22_000)).toBeCloseTo((16 + 6 * share) / 22, 2);
      }),
    );
  });
});
