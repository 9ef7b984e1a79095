import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CurvePoint, calmest, type DirtyCurve, dirtiedAfter, dirtiedFrom, EMPTY_CURVE, learn, shapeOf } from '../../src/core/index.ts';

/** A guest that writes uniformly over `pages`, `perMs` a ms: the closed form. */
const uniform =
  (pages: number, perMs: number) =>
  (workMs: number): number =>
    pages * (1 - Math.exp((-perMs * workMs) / pages));

const free = (workMs: number, pages: number, round: number, total = false): CurvePoint => ({
  workMs,
  timeMs: workMs,
  pages,
  round,
  total,
  held: false,
});

function watched(f: (workMs: number) => number, rounds: readonly number[], noise: (n: number) => number = () => 1): DirtyCurve {
  let curve = EMPTY_CURVE;
  let n = 0;
  for (const [round, length] of rounds.entries()) {
    for (let k = 1; k <= 40; k++) curve = learn(curve, free((k * length) / 40, f((k * length) / 40) * noise(n++), round));
    curve = learn(curve, free(length, f(length) * noise(n++), round, true));
  }
  return curve;
}

const points = fc.array(
  fc.record({
    workMs: fc.double({ min: 1, max: 1e6, noNaN: true }),
    slow: fc.double({ min: 1, max: 20, noNaN: true }),
    pages: fc.double({ min: 0, max: 1e8, noNaN: true }),
    round: fc.nat(30),
    total: fc.boolean(),
    held: fc.boolean(),
  }),
  { maxLength: 60 },
);

const learned = (list: readonly (Omit<CurvePoint, 'timeMs'> & { slow: number })[]): DirtyCurve =>
  list.reduce((curve, p) => learn(curve, { ...p, timeMs: p.workMs * p.slow }), EMPTY_CURVE);

describe('dirty curve', () => {
  it('finds a uniform writer within 5 % where it looked, and within 15 % an octave below', () => {
    const f = uniform(500_000, 200);
    const shape = shapeOf(watched(f, [20_000, 4000, 1500]));
    for (const workMs of [60, 200, 1000, 5000, 18_000]) expect(Math.abs(shape.at(workMs) / f(workMs) - 1)).toBeLessThan(0.05);
    expect(Math.abs(shape.at(20) / f(20) - 1)).toBeLessThan(0.15);
  });

  it('averages noise of single counts', () => {
    const f = uniform(300_000, 100);
    const shape = shapeOf(watched(f, [10_000, 5000, 3000], (n) => 1 + 0.08 * Math.sin(n * 12.9898)));
    for (const workMs of [500, 2000, 8000]) expect(Math.abs(shape.at(workMs) / f(workMs) - 1)).toBeLessThan(0.08);
  });

  it('believes what was dirtied in the end, however long the guest stood or idled before its first look', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.05, max: 0.6, noNaN: true }), fc.nat(2), (idle, rounds) => {
        const f = uniform(500_000, 200);
        const late = (workMs: number): number => f(Math.max(0, workMs - idle * 8000));
        const shape = shapeOf(watched(late, Array(rounds + 1).fill(8000)));
        expect(Math.abs(shape.at(8000) / late(8000) - 1)).toBeLessThan(0.05);
        expect(shape.at(4000)).toBeGreaterThan(0.45 * late(8000));
      }),
    );
  });

  it('learns nothing from looks that see nothing dirty, however many: the guest stands, or idles for a moment', () => {
    const before = watched(uniform(500_000, 200), [20_000, 4000]);
    const after = [20, 40, 80, 160, 260, 360, 520, 820].reduce((curve, workMs) => learn(curve, free(workMs, 0, 2)), before);
    expect(after).toEqual(before);
  });

  it('rises, with F(w)/w falling, whatever it was told', () => {
    fc.assert(
      fc.property(points, fc.constantFrom('low', 'value', 'high'), (list, lean) => {
        const shape = shapeOf(learned(list), lean as 'low' | 'value' | 'high');
        let before = { w: 1, f: shape.at(1) };
        for (let w = 2; w < 1e7; w *= 1.7) {
          const f = shape.at(w);
          expect(f).toBeGreaterThanOrEqual(before.f * (1 - 1e-9));
          expect(f / w).toBeLessThanOrEqual((before.f / before.w) * (1 + 1e-9));
          before = { w, f };
        }
      }),
    );
  });

  it('inverts itself where it rises', () => {
    const shape = shapeOf(watched(uniform(500_000, 200), [20_000, 4000]));
    for (const workMs of [10, 50, 300, 2000, 9000]) expect(shape.workFor(shape.at(workMs)) / workMs).toBeCloseTo(1, 3);
    expect(shape.workFor(0)).toBe(0);
  });

  it('orders its leanings outside of what was seen', () => {
    const curve = watched(uniform(400_000, 150), [30_000]);
    const [low, value, high] = [shapeOf(curve, 'low'), shapeOf(curve), shapeOf(curve, 'high')];
    for (const workMs of [20, 100, 300]) {
      expect(low.at(workMs)).toBeLessThanOrEqual(1.001 * value.at(workMs));
      expect(value.at(workMs)).toBeLessThanOrEqual(1.001 * high.at(workMs));
    }
  });

  it('learns another phase within one round and remembers the calm', () => {
    const calm = uniform(400_000, 30);
    const busy = uniform(400_000, 240);
    let curve = watched(calm, [8000, 4000]);
    for (let k = 1; k <= 10; k++) curve = learn(curve, free(k * 100, busy(k * 100), 2));
    expect(Math.abs(shapeOf(curve).at(900) / busy(900) - 1)).toBeLessThan(0.2);
    expect(shapeOf(calmest(curve)).at(900)).toBeLessThan(1.3 * calm(900));
  });

  it('finds the share that a cap does not slow', () => {
    const f = uniform(500_000, 200);
    let curve = watched(f, [8000, 3000]);
    for (let round = 2; round < 8; round++) {
      const pages = 0.7 * f(400) + 0.3 * f(2000);
      curve = learn(curve, { workMs: 400, timeMs: 2000, pages, round, total: true, held: true });
    }
    expect(curve.deviceShare).toBeGreaterThan(0.2);
    expect(curve.deviceShare).toBeLessThan(0.4);
    expect(dirtiedAfter(shapeOf(curve), curve.deviceShare, 400, 2000) / (0.7 * f(400) + 0.3 * f(2000))).toBeCloseTo(1, 0);
  });

  it('does not believe a single outlier', () => {
    const f = uniform(300_000, 100);
    const curve = watched(f, [8000, 4000]);
    const fooled = learn(curve, free(2000, 0.3 * f(2000), 2));
    expect(shapeOf(fooled).at(2000)).toBeCloseTo(shapeOf(curve).at(2000), 6);
  });

  it('learns nothing from a parked guest that did no work', () => {
    const curve = watched(uniform(500_000, 200), [8000]);
    expect(learn(curve, { workMs: 0, timeMs: 200, pages: 0, round: 1, total: true, held: true })).toBe(curve);
  });

  it('stays small, finite and JSON', () => {
    fc.assert(
      fc.property(points, (list) => {
        const curve = learned(list);
        expect(curve.knots.length).toBeLessThanOrEqual(49);
        expect(JSON.parse(JSON.stringify(curve))).toEqual(curve);
        expect(curve.deviceShare).toBeGreaterThanOrEqual(0);
        expect(curve.deviceShare).toBeLessThanOrEqual(1);
        for (const knot of curve.knots) expect(Number.isFinite(knot.pages) && Number.isFinite(knot.least)).toBe(true);
      }),
    );
  });

  it('goes on from what is dirty: no work adds nothing, more work never less', () => {
    const shape = shapeOf(watched(uniform(500_000, 200), [8000, 2000]));
    const sofar = { workMs: 500, timeMs: 500 };
    expect(dirtiedFrom(shape, 0, 80_000, sofar, 0, 0)).toBe(80_000);
    expect(dirtiedFrom(shape, 0, 80_000, sofar, 200, 200)).toBeGreaterThan(dirtiedFrom(shape, 0, 80_000, sofar, 100, 200));
  });
});
