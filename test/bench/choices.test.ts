import { describe, expect, it } from 'vitest';
import { choicesOf } from './choices.ts';
import { result, row } from './fixtures.ts';

const usual = { variant: 'working-set', bytes: 1e9, totalSeconds: 100, lostSeconds: 1 };

describe('what a choice costs', () => {
  it('compares where both met the target, by geometric mean', () => {
    const dearer = row({ ...usual, variant: 'working-set network', bytes: 0.5e9, totalSeconds: 25, lostSeconds: 7 });
    const [first, second] = choicesOf([
      result([row(usual), dearer]),
      result([row(usual), row({ ...usual, variant: 'working-set network' })]),
      result([row({ ...usual, attained: false }), dearer]),
    ]);
    expect(first).toMatchObject({ cases: 3, met: 2, bothMet: 2, bytes: 1, time: 1, lostWork: 1 });
    expect(second).toMatchObject({ option: '--prefer network', cases: 3, met: 3, bothMet: 2 });
    expect(second?.bytes).toBeCloseTo(0.5 ** 0.5);
    expect(second?.time).toBeCloseTo(0.5);
    // (7 + 1) / (1 + 1) and 1.
    expect(second?.lostWork).toBeCloseTo(2);
  });
});
