import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { longestStanding, type Standing, standingAfter, type VcpuReading } from '../../src/core/index.ts';

const at = (cpuTimeMs: number, more: Partial<VcpuReading> = {}): VcpuReading => ({ cpuTimeMs, running: false, blocked: false, ...more });
const folded = (...looks: readonly (readonly [number, readonly (VcpuReading | undefined)[]])[]): number | undefined => {
  let standing: Standing | undefined;
  for (const [atMs, readings] of looks) standing = standingAfter(standing, readings, atMs);
  return standing === undefined ? undefined : longestStanding(standing);
};

describe('how long a guest has been waiting for the CPU', () => {
  it('is unknown after one reading of a vCPU that neither runs nor idles', () => {
    expect(folded([0, [at(5)]])).toBeUndefined();
    expect(folded([0, [at(5, { running: true })]])).toBe(0);
    expect(folded([0, [at(5, { blocked: true })]])).toBe(0);
  });
  it('is at most the time since the look before, less what it ran meanwhile', () => {
    expect(folded([0, [at(5)]], [100, [at(35)]])).toBe(70);
  });
  it('goes on from look to look while it does not run', () => {
    expect(folded([0, [at(5, { running: true })]], [100, [at(5)]], [250, [at(5)]])).toBe(250);
  });
  it('does not take an interrupt for the guest at work', () => {
    expect(folded([0, [at(5, { running: true })]], [100, [at(5.2)]])).toBe(100);
  });
  it('is that of the vCPU which has waited longest; one that is offline waits for nothing', () => {
    expect(folded([0, [at(5), at(5), undefined]], [100, [at(95), at(25), undefined]])).toBe(80);
  });
  it('starts anew where CPU time went back or a vCPU came on line', () => {
    expect(folded([0, [at(50)]], [100, [at(10)]])).toBeUndefined();
    expect(folded([0, [at(50, { running: true })]], [100, [at(80), at(1)]])).toBeUndefined();
    expect(folded([0, [undefined]], [100, [at(5000)]])).toBeUndefined();
  });
  it('is never less than the truth, whatever the looks', () => {
    const spans = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 2, max: 400 })), { minLength: 1, maxLength: 30 });
    const looks = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 2, maxLength: 40 });
    fc.assert(
      fc.property(spans, looks, (states, gaps) => {
        let standing: Standing | undefined;
        let now = 0;
        for (const gap of gaps) {
          now += gap;
          const { ranMs, runs, stoodMs } = truth(states, now);
          standing = standingAfter(standing, [at(ranMs, { running: runs })], now);
          const atMost = longestStanding(standing);
          if (atMost !== undefined) expect(atMost).toBeGreaterThanOrEqual(runs ? 0 : stoodMs);
        }
      }),
    );
  });
});

/** A guest that runs and stands in turn, and at the end goes on as it last did. */
function truth(states: readonly (readonly [boolean, number])[], atMs: number): { ranMs: number; runs: boolean; stoodMs: number } {
  let [begins, ranMs, stoodMs, runs] = [0, 0, 0, false];
  for (const [i, [on, spanMs]] of states.entries()) {
    const spent = Math.max(0, Math.min(i === states.length - 1 ? Number.POSITIVE_INFINITY : spanMs, atMs - begins));
    if (spent > 0) [runs, ranMs, stoodMs] = [on, ranMs + (on ? spent : 0), on ? 0 : stoodMs + spent];
    begins += spanMs;
  }
  return { ranMs, runs, stoodMs };
}
