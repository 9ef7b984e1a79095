import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { monotonicMs } from '../../src/xen/clock.ts';
import { type RoundClock, type Sampler, startSampler } from '../../src/xen/sampler.ts';

describe('sampler', () => {
  let sampler: Sampler | undefined;
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    sampler?.stop();
    vi.useRealTimers();
  });

  const started = (look: (atMs: number) => void) => {
    let round: RoundClock | undefined;
    sampler = startSampler({ round: () => round, look, tick: () => undefined, others: () => Promise.resolve() });
    return {
      begin(expectedMs: number): void {
        round = { sinceMs: monotonicMs(), expectedMs };
        sampler?.roundBegan();
      },
      end(): void {
        round = undefined;
      },
    };
  };

  it('looks closely at the start of a round, then evenly', async () => {
    const looks: number[] = [];
    let beganAtMs = 0;
    const rounds = started((atMs) => looks.push(Math.round(atMs - beganAtMs)));
    await vi.advanceTimersByTimeAsync(1000);
    expect(looks).toEqual([]);
    beganAtMs = monotonicMs();
    rounds.begin(10_000);
    await vi.advanceTimersByTimeAsync(500);
    expect(looks).toEqual([20, 40, 80, 160, 260, 360, 460]);
  });

  it('begins anew with every round, whatever was planned, and looks more often into a short one', async () => {
    const looks: number[] = [];
    let beganAtMs = 0;
    const rounds = started((atMs) => looks.push(Math.round(atMs - beganAtMs)));
    rounds.begin(60_000);
    await vi.advanceTimersByTimeAsync(170);
    looks.length = 0;
    beganAtMs = monotonicMs();
    rounds.begin(360);
    await vi.advanceTimersByTimeAsync(135);
    expect(looks).toEqual([20, 40, 70, 100, 130]);
    rounds.end();
    looks.length = 0;
    await vi.advanceTimersByTimeAsync(1000);
    expect(looks).toEqual([]);
  });

  it('a slow look is made less often: it and what follows from it take at most a tenth of the time', async () => {
    let looks = 0;
    const rounds = started(() => {
      looks++;
      vi.advanceTimersByTime(50);
    });
    rounds.begin(60_000);
    await vi.advanceTimersByTimeAsync(2000);
    expect(looks).toBeLessThanOrEqual(5);
    expect(looks).toBeGreaterThan(2);
  });

  it('a slow tick comes less often too: plans that take a second leave the rest of the time to others', async () => {
    let ticks = 0;
    const tick = () => {
      ticks++;
      vi.advanceTimersByTime(1000);
    };
    sampler = startSampler({ round: () => undefined, look: () => undefined, tick, others: () => Promise.resolve() });
    await vi.advanceTimersByTimeAsync(20_000);
    expect(ticks).toBeGreaterThan(1);
    expect(ticks).toBeLessThanOrEqual(4);
  });

  it('nothing happens after the stop', async () => {
    let looks = 0;
    const rounds = started(() => looks++);
    rounds.begin(1000);
    sampler?.stop();
    await vi.advanceTimersByTimeAsync(5000);
    expect(looks).toBe(0);
  });
});
