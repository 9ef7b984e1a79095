import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { curveThrough, shapeOf } from '../../src/core/dirty-curve.ts';
import { findingsOf, type ProbeLook } from '../../src/core/probe.ts';
import { ms, pages } from '../../src/core/units.ts';

/** Looks as a probe makes them, of a guest that follows `dirtied` and uses half a pCPU. */
const looksOf = (dirtied: (timeMs: number) => number, durationMs: number): readonly ProbeLook[] => {
  const looks: ProbeLook[] = [];
  for (let t = 20; t <= durationMs; t += Math.min(250, Math.max(20, 0.1 * t)))
    looks.push({ timeMs: ms(t), dirtyPages: pages(Math.round(dirtied(t))), cpuMs: ms(t / 2) });
  return looks;
};
/** A sequential writer over `size` pages. */
const sweep = (size: number, perMs: number) => (t: number) => Math.min(size, perMs * t);

describe('what a probe says', () => {
  it('of a sequential writer: rate, working set, levelled off', () => {
    const found = findingsOf(looksOf(sweep(8192, 3), 10_000));
    expect(found?.workingSet).toEqual({ pages: 8192, levelledOff: true });
    expect(found?.dirtyRate).toBeCloseTo(3000, -2);
    expect(found?.demandPercent).toBeCloseTo(50, 5);
    const last = found?.rows.at(-1);
    expect(last?.newPagesPerSecond).toBeLessThan(1);
    expect(found?.rows.find((row) => row.workMs === 1000)?.newPagesPerSecond).toBeGreaterThan(2500);
  });
  it('of a guest that goes on to new pages: at least what was seen', () => {
    expect(findingsOf(looksOf((t) => 2 * t, 5000))?.workingSet.levelledOff).toBe(false);
  });
  it('of an idle guest: nothing, levelled off', () => {
    const found = findingsOf(looksOf(() => 0, 2000));
    expect(found).toMatchObject({ dirtyPages: 0, dirtyRate: 0, workingSet: { pages: 0, levelledOff: true } });
  });
  it('needs three looks', () => {
    expect(findingsOf(looksOf((t) => t, 60).slice(0, 2))).toBeUndefined();
    expect(findingsOf([])).toBeUndefined();
  });
  it('rows are in order, end at the length of the probe, and never fall', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e6 }),
        fc.double({ min: 0.01, max: 500, noNaN: true }),
        fc.integer({ min: 600, max: 60_000 }),
        (size, perMs, duration) => {
          const looks = looksOf(sweep(size, perMs), duration);
          const rows = findingsOf(looks)?.rows ?? [];
          expect(rows.at(-1)?.workMs).toBe(looks.at(-1)?.timeMs);
          for (let i = 1; i < rows.length; i++) {
            expect(rows[i]?.workMs).toBeGreaterThan(rows[i - 1]?.workMs as number);
            expect(rows[i]?.pages).toBeGreaterThanOrEqual(rows[i - 1]?.pages as number);
            expect(rows[i]?.newPagesPerSecond).toBeGreaterThanOrEqual(0);
          }
        },
      ),
    );
  });
});

describe('the curve through undisturbed readings', () => {
  it('goes through uniform writes to within 3 %, however it bends', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1000, max: 1e6 }), fc.double({ min: 1, max: 1000, noNaN: true }), (size, perMs) => {
        const dirtied = (t: number): number => size * (1 - Math.exp((-perMs * t) / size));
        const looks = looksOf(dirtied, 10_000);
        const shape = shapeOf(curveThrough(looks.map(({ timeMs, dirtyPages }) => ({ workMs: timeMs, pages: dirtyPages }))));
        for (const t of [50, 170, 700, 3000, 8000]) {
          expect(Math.abs(shape.at(t) - dirtied(t))).toBeLessThanOrEqual(0.03 * dirtied(t) + 2);
        }
      }),
    );
  });
  it('takes the highest before where a count falls, and stays finite', () => {
    const shape = shapeOf(
      curveThrough([
        { workMs: 10, pages: 100 },
        { workMs: 100, pages: 60 },
        { workMs: 1000, pages: 200 },
      ]),
    );
    expect(Math.abs(shape.at(100) - 100)).toBeLessThan(5);
    expect(Number.isFinite(shape.at(1e7))).toBe(true);
  });
  it('of a guest that begins late keeps what it dirtied later', () => {
    const late = looksOf((t) => (t < 300 ? 0 : Math.min(8192, 3 * (t - 300))), 8000);
    const shape = shapeOf(curveThrough(late.map(({ timeMs, dirtyPages }) => ({ workMs: timeMs, pages: dirtyPages }))));
    expect(shape.at(7000)).toBeCloseTo(8192, -2);
    expect(shape.at(1500)).toBeGreaterThan(3400);
    expect(shape.at(100)).toBeGreaterThan(100);
  });
  it('says nothing of nothing', () => {
    expect(shapeOf(curveThrough([])).at(1000)).toBe(0);
    expect(shapeOf(curveThrough([{ workMs: 1, pages: 5 }])).at(1000)).toBe(0);
    expect(shapeOf(curveThrough([{ workMs: 90, pages: 500 }])).at(90)).toBeGreaterThan(400);
  });
});
