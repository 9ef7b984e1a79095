import { describe, expect, it } from 'vitest';
import { DISTRIBUTION, drawScenario } from './held-out.ts';
import { median, quantile } from './statistics.ts';

const drawn = Array.from({ length: 400 }, (_, i) => drawScenario(12, i));
const values = (of: (s: (typeof drawn)[number]) => number): readonly number[] => drawn.map(of);
const range = (v: readonly number[]): readonly [number, number] => [Math.min(...v), Math.max(...v)];

describe('held-out scenarios', () => {
  it('follow from seed and number alone', () => {
    expect(drawScenario(12, 30)).toEqual(drawn[30]);
    expect(drawScenario(13, 30)).not.toEqual(drawn[30]);
    expect(new Set(drawn.map((s) => JSON.stringify({ ...s, name: '', description: '' }))).size).toBe(drawn.length);
  });

  it('cover the stated distribution, and stay within it', () => {
    const gigabits = range(values((s) => (s.link.bytesPerSecond * 8) / 0.9 / 1e9));
    expect(gigabits[0]).toBeGreaterThanOrEqual(0.999);
    expect(gigabits[0]).toBeLessThan(1.1);
    expect(gigabits[1]).toBeGreaterThan(90);
    expect(gigabits[1]).toBeLessThanOrEqual(100.001);
    const gibibytes = range(values((s) => s.domain.memoryMib / 1024));
    expect(gibibytes[0]).toBeGreaterThanOrEqual(1);
    expect(gibibytes[1]).toBeGreaterThan(500);
    expect(gibibytes[1]).toBeLessThanOrEqual(1024);
    expect(new Set(values((s) => s.domain.vcpus))).toEqual(new Set([1, 2, 4, 8, 16, 32, 64]));
    expect(range(values((s) => s.suggested.targetDowntimeMs))).toEqual([150, expect.closeTo(600, -1)]);
    // Memory that the link sends within 5 minutes.
    expect(Math.max(...values((s) => (s.domain.memoryMib * 2 ** 20) / s.link.bytesPerSecond))).toBeLessThan(301);
  });

  it('draw the write rate evenly by ratio, from a sixth of what is sent to ten times that', () => {
    const ratios = drawn.map((s) => {
      const writes = s.classes.filter((c) => c.name !== 'kernel').reduce((sum, c) => sum + c.writesPerSecond, 0);
      return (writes * 4104) / s.link.bytesPerSecond;
    });
    expect(Math.min(...ratios)).toBeGreaterThan(0.149);
    expect(Math.max(...ratios)).toBeLessThan(10.01);
    expect(median(ratios)).toBeGreaterThan(0.9);
    expect(median(ratios)).toBeLessThan(1.7);
  });

  it('have five rounds, credit2, devices, phases and bursts about as often as stated', () => {
    const share = (is: (s: (typeof drawn)[number]) => boolean): number => drawn.filter(is).length / drawn.length;
    const near = (value: number, stated: number): void => expect(Math.abs(value - stated)).toBeLessThan(0.08);
    near(
      share((s) => s.host.roundLimit === 5),
      0.6,
    );
    near(
      share((s) => s.host.scheduler === 'credit2'),
      0.1,
    );
    near(
      share((s) => s.classes.some((c) => c.ignoresCpu)),
      0.25,
    );
    near(
      share((s) => s.phases.length > 0),
      0.25,
    );
    near(
      share((s) => s.link.sags.length > 0),
      0.1,
    );
    const many = Array.from({ length: 4000 }, (_, i) => drawScenario(3, i));
    expect(DISTRIBUTION.join()).toContain('one in eight bursts or lulls');
    expect(Math.abs(many.filter((s) => s.bursts !== undefined).length / many.length - 1 / 8)).toBeLessThan(0.02);
  });

  it('have no more vCPUs than the power of two nearest to their memory over 512 MiB', () => {
    expect(DISTRIBUTION.join()).toContain('at most the one nearest to memory / 512 MiB');
    const most = (s: (typeof drawn)[number]): number => Math.min(64, 2 ** Math.round(Math.log2(s.domain.memoryMib / 512)));
    expect(drawn.filter((s) => s.domain.vcpus > most(s))).toEqual([]);
    expect(drawn.some((s) => most(s) < 64 && s.domain.vcpus === most(s))).toBe(true);
  });
});

describe('quantile', () => {
  it('lies between the two nearest by rank', () => {
    expect(quantile([3, 1, 2], 0.5)).toBe(2);
    expect(quantile([1, 2], 0.75)).toBe(1.75);
    expect(quantile([], 0.5)).toBeNull();
    expect(quantile([5, Number.POSITIVE_INFINITY], 0)).toBe(5);
  });
});
