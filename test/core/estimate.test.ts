import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { between, type Estimate, exactly, plus, times, widened } from '../../src/core/index.ts';

const part = fc
  .tuple(
    fc.double({ min: 0, max: 1e6, noNaN: true }),
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.double({ min: 1, max: 3, noNaN: true }),
  )
  .map(([value, low, high]) => between(low * value, value, high * value));
const width = ({ low, high }: Estimate): number => high - low;

describe('estimates', () => {
  it('add up: the range of independent errors is theirs in quadrature', () => {
    expect(plus(between(7, 10, 13), between(16, 20, 24))).toEqual({ value: 30, low: 25, high: 35 });
    expect(plus(exactly(5), between(7, 10, 13))).toEqual({ value: 15, low: 12, high: 18 });
    expect(plus()).toEqual(exactly(0));
  });
  it('multiply: relative errors in quadrature', () => {
    const { value, low, high } = times(between(97, 100, 103), between(9.6, 10, 10.4));
    expect([value, low, high]).toEqual([1000, expect.closeTo(950), expect.closeTo(1050)]);
    expect(times(exactly(0), between(1, 2, 3))).toEqual(exactly(0));
  });
  it('widen without leaving 0 or the value behind', () => {
    expect(widened(between(80, 100, 110), 1)).toEqual(between(80, 100, 110));
    expect(widened(between(80, 100, 110), 2)).toEqual({ value: 100, low: expect.closeTo(64), high: 120 });
    expect(widened(between(-5, 100, 110), 1.5)).toEqual({ value: 100, low: 0, high: 115 });
    expect(widened(between(0, 0, 16), 2)).toEqual({ value: 0, low: 0, high: 32 });
  });
  it('a sum is no wider than its parts together, and no narrower than the widest of them', () => {
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 6 }), (parts) => {
        const sum = plus(...parts);
        const tolerance = 1e-6 * (1 + sum.value);
        expect(width(sum)).toBeLessThanOrEqual(parts.reduce((total, each) => total + width(each), 0) + tolerance);
        for (const each of parts) expect(sum.high - sum.value).toBeGreaterThanOrEqual(each.high - each.value - tolerance);
      }),
    );
  });
  it('a product stays between the products of the bounds', () => {
    fc.assert(
      fc.property(part, part, (a, b) => {
        const product = times(a, b);
        const tolerance = 1e-6 * (1 + a.high * b.high);
        expect(product.low).toBeGreaterThanOrEqual(a.low * b.low - tolerance);
        expect(product.high).toBeLessThanOrEqual(a.high * b.high + tolerance);
        expect(product.low).toBeLessThanOrEqual(product.value);
      }),
    );
  });
});
