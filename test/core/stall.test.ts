import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { floorFor, stallOf } from '../../src/core/stall.ts';
import { ms } from '../../src/core/units.ts';

const T30 = ms(30);

describe('stall law of credit1', () => {
  it.each([
    [75, 68],
    [50, 110],
    [25, 161],
    [10, 310],
    [5, 642],
    [2, 1490],
    [1, 3030],
  ])('comes within a fifth of the longest single gap measured at cap %i', (percent, measuredMs) => {
    expect(stallOf(percent, 1, 'credit', T30)).toBeGreaterThanOrEqual(measuredMs * 0.8);
  });
  it('gives the floors of the facts: 18 % for 200 ms, 43 % for 100 ms, none below 60 ms', () => {
    expect(floorFor(ms(200), 1, 'credit', T30)).toBe(18);
    expect(floorFor(ms(100), 1, 'credit', T30)).toBe(43);
    expect(floorFor(ms(59), 1, 'credit', T30)).toBe(100);
  });
  it('moves the floor with the timeslice and with the vCPUs that share the cap', () => {
    expect(floorFor(ms(200), 1, 'credit', ms(5))).toBeLessThan(floorFor(ms(200), 1, 'credit', T30));
    expect(floorFor(ms(200), 4, 'credit', T30)).toBeGreaterThan(4 * 17);
  });
});

describe('any scheduler', () => {
  const scheduler = fc.constantFrom('credit' as const, 'credit2' as const);
  it('stalls never longer at a higher cap, and the floor keeps its promise', () => {
    fc.assert(
      fc.property(scheduler, fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 5000 }), (name, vcpus, allowed) => {
        const floor = floorFor(ms(allowed), vcpus, name, T30);
        if (floor < 100 * vcpus) expect(stallOf(floor, vcpus, name, T30)).toBeLessThanOrEqual(allowed);
        if (floor > 1) expect(stallOf(floor - 1, vcpus, name, T30)).toBeGreaterThan(floor === 100 * vcpus ? -1 : allowed);
        expect(stallOf(floor + 1, vcpus, name, T30)).toBeLessThanOrEqual(stallOf(floor, vcpus, name, T30));
      }),
    );
  });
  it.each([
    [50, 18],
    [25, 31],
    [10, 229],
    [5, 406],
  ])('bounds credit2’s measured gap at cap %i', (percent, measuredMs) => {
    expect(stallOf(percent, 1, 'credit2', T30)).toBeGreaterThanOrEqual(measuredMs);
  });
});
