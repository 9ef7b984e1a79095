import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  cheapest,
  EMPTY_CURVE,
  follow,
  free,
  learn,
  lowest,
  luckMs,
  type PlanModel,
  type PlanStart,
  shapeOf,
} from '../../src/core/index.ts';

/** A uniform writer of `perMs` over `pages`, learned at every octave. */
function shape(pages: number, perMs: number) {
  let curve = EMPTY_CURVE;
  for (let w = 4; w < 1e6; w *= 1.4) {
    curve = learn(curve, {
      workMs: w,
      timeMs: w,
      pages: pages * (1 - Math.exp((-perMs * w) / pages)),
      round: 0,
      total: true,
      held: false,
    });
  }
  return shapeOf(curve);
}

const model = (patch: Partial<PlanModel> = {}): PlanModel => ({
  shape: shape(1_000_000, 500),
  deviceShare: 0,
  pagesPerMs: 250,
  pagesPerMsLater: 250,
  floorSpeed: 0.2,
  slew: 0,
  latencyMs: 15,
  fitPages: 25_000,
  fitPagesLifted: 30_000,
  fitPagesFree: 30_000,
  stallPages: (speed) => 0.25 * 30 * (100 / (100 * speed) + 1) * 250,
  onTimeMs: 0,
  looks: true,
  tailMs: 45,
  ...patch,
});

const start = (patch: Partial<PlanStart> = {}): PlanStart => ({
  pagesLeft: 900_000,
  dirtyPages: 0,
  workMs: 0,
  timeMs: 0,
  speedBefore: 1,
  speedNow: 1,
  roundsLeft: 4,
  openEnded: false,
  ...patch,
});

const weights = { time: 0.02, release: 1, change: 1 };

describe('plan', () => {
  it('costs nothing where the guest converges by itself', () => {
    const calm = model({ shape: shape(100_000, 20) });
    const course = cheapest(calm, calm, start(), start(), weights, Number.POSITIVE_INFINITY);
    expect(course).toMatchObject({ speed: 1, lostMs: 0, fits: true });
  });

  it('falls late, to the floor, and fits', () => {
    const m = model({ floorSpeed: 0.08 });
    const course = cheapest(m, m, start(), start(), weights, Number.POSITIVE_INFINITY);
    expect(course.fits).toBe(true);
    expect(course.fallAt).toBeGreaterThan(-1);
    expect(course.lostMs).toBeGreaterThan(0);
    expect(course.lostMs).toBeLessThan(lowest(m, start()).lostMs);
  });

  it('is at least as cheap as every course it could have chosen', () => {
    const best = cheapest(model(), model(), start(), start(), { ...weights, time: 0 }, Number.POSITIVE_INFINITY);
    for (const fallAt of [-1, -0.5, 0, 1, 2, 3]) {
      const course = follow(model(), start(), fallAt);
      if (course.fits) expect(best.lostMs).toBeLessThanOrEqual(course.lostMs + 1e-6);
    }
  });

  it('the more it is slowed, the less is left at the end', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 50, max: 2000 }),
        fc.integer({ min: 50, max: 1000 }),
        fc.double({ min: 0.05, max: 0.9, noNaN: true }),
        (perMs, pagesPerMs, floorSpeed) => {
          const m = model({ shape: shape(1_000_000, perMs), pagesPerMs, floorSpeed, fitPages: 1, fitPagesFree: 1 });
          expect(lowest(m, start()).lastPages).toBeLessThanOrEqual(free(m, start()).lastPages * 1.001);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('a progressive course is never slower at once than half of the round before', () => {
    const progressive = model({ slew: 0.5 });
    expect(lowest(progressive, start()).speed).toBeCloseTo(0.5, 6);
    expect(lowest(progressive, start({ speedBefore: 0.5 })).speed).toBeCloseTo(0.25, 6);
    expect(lowest(progressive, start({ speedBefore: 0.25 })).speed).toBeCloseTo(0.2, 6);
  });

  it('goes as low as allowed when nothing fits, and says so', () => {
    const m = model({ fitPages: 10, fitPagesLifted: 10, fitPagesFree: 10 });
    const course = cheapest(m, m, start(), start(), weights, Number.POSITIVE_INFINITY);
    expect(course.fits).toBe(false);
    expect(course.speed).toBeCloseTo(0.2, 6);
  });

  it('holds a last round first and lets it go when its rest fits', () => {
    const last = start({ roundsLeft: 1, pagesLeft: 50_000 });
    expect(follow(model(), last, 0).speed).toBe(0.2);
    const nearlyOver = start({ roundsLeft: 1, pagesLeft: 12_000, dirtyPages: 4000, workMs: 10, timeMs: 150, speedNow: 0.2 });
    expect(follow(model(), nearlyOver, 0).speed).toBe(1);
  });

  it('without looks a last round runs evenly', () => {
    const blind = follow(model({ looks: false, onTimeMs: 0 }), start({ roundsLeft: 1, pagesLeft: 40_000 }), 0);
    expect(blind.speed).toBeGreaterThan(0.2);
    expect(blind.speed).toBeLessThan(1);
    expect(blind.lastPages).toBeLessThanOrEqual(25_000);
  });

  it('open-ended rounds end as soon as the dirty set fits', () => {
    const m = model({ shape: shape(60_000, 100), fitPagesFree: 30_000 });
    expect(free(m, start({ openEnded: true, roundsLeft: 30 })).rounds).toBeLessThan(10);
  });
});

describe('luck of parking', () => {
  it('bounds what any phase of the on-off wave adds to the mean', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.05, max: 0.95, noNaN: true }),
        fc.double({ min: 5, max: 2000, noNaN: true }),
        fc.double({ min: 5, max: 60, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
        (speed, spanMs, onMs, phase) => {
          const cycle = onMs / speed;
          const ran = (t: number): number => Math.floor(t / cycle) * onMs + Math.min(onMs, t - Math.floor(t / cycle) * cycle);
          const worked = ran(phase * cycle + spanMs) - ran(phase * cycle);
          expect(worked).toBeLessThanOrEqual(speed * spanMs + luckMs(speed, spanMs, onMs) + 1e-6);
        },
      ),
    );
  });

  it('is nothing for a guest that is not held', () => {
    expect(luckMs(1, 100, 30)).toBe(0);
  });
});
