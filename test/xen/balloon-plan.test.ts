import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeShrinking, type MemoryReading, planBalloon } from '../../src/xen/balloon-plan.ts';

const GIB = 1024 ** 2;

describe('what a guest is shrunk to', () => {
  it('is the size that was asked for', () => {
    expect(planBalloon({ kind: 'size', kib: 2 * GIB }, { targetKib: 4 * GIB })).toEqual({ targetKib: 2 * GIB });
  });
  it('is, with auto, all but half of what the guest says is free', () => {
    expect(planBalloon({ kind: 'auto' }, { targetKib: 4 * GIB, freeKib: 2 * GIB })).toEqual({ targetKib: 3 * GIB });
  });
  it.each([
    ['auto without the guest saying anything', { kind: 'auto' }, undefined, /does not say/],
    ['less than a quarter', { kind: 'size', kib: GIB - 1 }, undefined, /less than a quarter/],
    ['more than it has', { kind: 'size', kib: 5 * GIB }, undefined, /next to nothing/],
    ['hardly less than it has', { kind: 'size', kib: 3.9 * GIB }, undefined, /next to nothing/],
    ['auto of a guest that is full', { kind: 'auto' }, 10, /only 0 MiB are free/],
  ] as const)('is refused: %s', (_, request, freeKib, text) => {
    expect(planBalloon(request, { targetKib: 4 * GIB, freeKib })).toMatchObject({
      refused: expect.stringMatching(text),
      hint: expect.any(String),
    });
  });
  it('is never below a quarter nor above what it has, whatever the guest says is free', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 36 }), fc.nat(2 ** 37), (targetKib, freeKib) => {
        const plan = planBalloon({ kind: 'auto' }, { targetKib, freeKib });
        if (!('targetKib' in plan)) return;
        expect(plan.targetKib).toBeGreaterThanOrEqual(targetKib / 4);
        expect(plan.targetKib).toBeLessThan(targetKib);
        expect(targetKib - plan.targetKib).toBeLessThanOrEqual(freeKib / 2);
      }),
    );
  });
});

describe('a guest that shrinks', () => {
  const readings = (...mib: readonly number[]): readonly MemoryReading[] => mib.map((m, i) => ({ atMs: i * 1000, kib: m * 1024 }));
  it.each([
    ['is waited for while it moves', [128, 120, 100, 90], { state: 'going' }],
    ['is done when it is there, or nearly', [128, 100, 65], { state: 'done', kib: 65 * 1024 }],
    ['is stuck when it does not move any more', [128, 100, 100, 100, 100, 100], { state: 'stuck', kib: 100 * 1024 }],
    ['has time to begin', [128, 128, 128, 128], { state: 'going' }],
    ['has no driver when it never does', [128, 128, 128, 128, 128, 128, 128, 128, 128], { state: 'no-driver' }],
    ['is not without a driver because it began late', [128, 128, 128, 128, 128, 128, 127], { state: 'going' }],
  ] as const)('%s', (_, mib, state) => {
    expect(judgeShrinking(readings(...mib), 64 * 1024)).toEqual(state);
  });
  it('is not waited for for ever, however it creeps', () => {
    const creeping = readings(...Array.from({ length: 70 }, (_, i) => 1000 - i));
    expect(judgeShrinking(creeping, 64 * 1024)).toMatchObject({ state: 'stuck' });
  });
});
