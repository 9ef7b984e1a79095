import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { capFromXen, capPercent, capped, capToXen, isLower, UNCAPPED } from '../../src/core/cap.ts';

describe('cap', () => {
  it('never rounds a low cap to Xen’s 0, which would mean none', () => {
    fc.assert(fc.property(fc.double({ min: 0, max: 1e6, noNaN: true }), (percent) => capToXen(capped(percent)) >= 1));
    expect(capToXen(capped(0.2))).toBe(1);
  });
  it('refuses what is no percentage', () => {
    for (const bad of [Number.NaN, -1, Number.POSITIVE_INFINITY]) expect(() => capped(bad)).toThrow(RangeError);
    for (const bad of [Number.NaN, -1, 12.5]) expect(() => capFromXen(bad)).toThrow(RangeError);
  });
  it('goes to Xen’s number and back', () => {
    fc.assert(fc.property(fc.nat(6400), (n) => capToXen(capFromXen(n)) === n));
    expect(capFromXen(0)).toEqual(UNCAPPED);
  });
  it('orders none above every percentage', () => {
    expect(isLower(capped(99), UNCAPPED)).toBe(true);
    expect(isLower(UNCAPPED, capped(99))).toBe(false);
    expect(capPercent(capped(900), 4)).toBe(400);
    expect(capPercent(UNCAPPED, 4)).toBe(400);
  });
});
