import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { VcpuReading } from '../../src/core/standing.ts';
import { ms } from '../../src/core/units.ts';
import { seenToRun } from '../../src/xen/seen-to-run.ts';

/** vCPUs by when each begins to run; `undefined`: offline. Time passes by sleeping alone. */
function guest(starts: readonly (number | 'blocked' | undefined)[]) {
  let atMs = 0;
  const vcpus = () =>
    starts.map((start): VcpuReading | undefined => {
      if (start === undefined) return undefined;
      if (start === 'blocked') return { cpuTimeMs: 1000, running: false, blocked: true };
      return { cpuTimeMs: 1000 + Math.max(0, atMs - start), running: atMs >= start, blocked: false };
    });
  const sleep = async (forMs: number) => {
    atMs += forMs;
  };
  const run = (atMostMs: number, runMs = 1000) => seenToRun({ vcpus, runMs: ms(runMs), atMostMs, now: () => ms(atMs), sleep });
  return { run, atMs: () => atMs };
}

describe('a guest that is let run before it is suspended', () => {
  it('is waited for until the last of its vCPUs has had the CPU, and not much longer', async () => {
    const start = fc.oneof(fc.integer({ min: 0, max: 100 }), fc.constant('blocked' as const), fc.constant(undefined));
    await fc.assert(
      fc.asyncProperty(fc.array(start, { minLength: 1, maxLength: 4 }), async (starts) => {
        const { run, atMs } = guest(starts);
        expect(await run(300)).toBe('ran');
        const latest = Math.max(0, ...starts.map((each) => (typeof each === 'number' ? each + 5 : 0)));
        expect(atMs()).toBeGreaterThanOrEqual(latest);
        expect(atMs()).toBeLessThanOrEqual(latest + 4);
      }),
    );
  });
  it('is not waited for longer than another of its vCPUs may run', async () => {
    const { run, atMs } = guest([0, 1000]);
    expect(await run(300, 30)).toBe('stood');
    expect(atMs()).toBe(30);
  });
  it('that does not run within its time is told so', async () => {
    expect(await guest([0, 1000]).run(300)).toBe('stood');
  });
  it('cannot be waited for where its vCPUs cannot be read', async () => {
    expect(await seenToRun({ vcpus: () => undefined, runMs: ms(30), atMostMs: 300 })).toBe('unknown');
    let reads = 0;
    const vcpus = () => (reads++ === 0 ? [{ cpuTimeMs: 0, running: false, blocked: false }] : undefined);
    expect(await seenToRun({ vcpus, runMs: ms(30), atMostMs: 300, sleep: async () => undefined })).toBe('unknown');
  });
});
