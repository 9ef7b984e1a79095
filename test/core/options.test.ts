import { describe, expect, it } from 'vitest';
import { capFromXen } from '../../src/core/cap.ts';
import { ms } from '../../src/core/units.ts';
import { goal } from './fixtures.ts';

describe('goal', () => {
  it('lets the longest stall follow from the target, and the floor from the stall', () => {
    expect(goal()).toMatchObject({ maxStallMs: 200, capFloorPercent: 18, capCeilingPercent: 100, onMiss: 'abort' });
    expect(goal({ targetDowntimeMs: ms(2000), maxStallMs: ms(250) }).capFloorPercent).toBe(14);
  });
  it('keeps below the domain’s own cap', () => {
    expect(goal({}, { capOriginal: capFromXen(60) }).capCeilingPercent).toBe(60);
    expect(goal({ targetDowntimeMs: ms(70) }, { capOriginal: capFromXen(60) }).capFloorPercent).toBe(60);
  });
  it.each([
    ['a floor above the cap', { minCapPercent: 80 }, { capOriginal: capFromXen(60) }, /--min-cap 80 is above/],
    ['a floor of 0', { minCapPercent: 0 }, {}, /at least 1, got 0/],
    ['a target of 0', { targetDowntimeMs: ms(0) }, {}, /must be above 0/],
  ] as const)('refuses %s', (_, options, domain, message) => {
    expect(() => goal(options, domain)).toThrow(message);
  });
  it('takes the lower of the rounds asked for and the rounds there are', () => {
    expect(goal({ maxRounds: 3 }).capabilities.roundsMax).toBe(3);
    expect(goal({ maxRounds: 30 }).capabilities.roundsMax).toBe(5);
    expect(goal({ maxRounds: 30 }, {}, { policy: true, roundsMax: Number.POSITIVE_INFINITY }).capabilities.roundsMax).toBe(30);
  });
});
