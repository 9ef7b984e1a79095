import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pauseFor } from '../../../src/xen/relay/pace.ts';

describe('the pace of reading', () => {
  it('is slow in the middle of a long round', () => {
    expect(pauseFor(500_000, 1_044_480, 3000)).toBe(50);
  });

  it('is at once at the start, near the end and in a short round', () => {
    expect(pauseFor(0, 1_044_480, 10)).toBe(0);
    expect(pauseFor(1_044_000, 1_044_480, 3000)).toBe(0);
    expect(pauseFor(1024, 2048, 10)).toBe(0);
    expect(pauseFor(6336, 6336, 500)).toBe(0);
  });

  it('never sleeps past the end of a round that goes on as it went', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e6 }),
        fc.integer({ min: 1, max: 1e6 }),
        fc.double({ min: 0, max: 1e6, noNaN: true }),
        (a, b, elapsed) => {
          const [sent, total] = [Math.min(a, b), Math.max(a, b)];
          const pause = pauseFor(sent, total, elapsed);
          expect(pause).toBeGreaterThanOrEqual(0);
          expect(pause).toBeLessThanOrEqual(50);
          if (sent < total) expect(pause).toBeLessThan((elapsed * (total - sent)) / sent + 1e-9);
        },
      ),
    );
  });
});
