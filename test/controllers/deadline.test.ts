import { describe, expect, it } from 'vitest';
import { workingSet } from '../../controllers/working-set.ts';
import { type GoalOptions, ms } from '../../src/core/index.ts';
import { simulate } from '../../src/sim/run.ts';
import { loadScenario } from '../../src/sim/scenario-files.ts';

const run = (scenario: string, options: Partial<GoalOptions>, seed = 1) =>
  simulate({ scenario: loadScenario(scenario), seed, controller: workingSet, options: { targetDowntimeMs: ms(200), ...options } });

const relaxing: readonly (readonly [string, Partial<GoalOptions>])[] = [
  ['--on-miss proceed', { onMiss: 'proceed' }],
  ['--prefer speed', { prefer: 'speed' }],
];

describe.each(relaxing)('a deadline with %s', (_, how) => {
  it.each([15, 18, 21, 25, 40])('of %i s is kept, and the target relaxed only as far as it must be', (seconds) => {
    const { truth } = run('stress', { ...how, deadlineMs: ms(1000 * seconds) });
    expect(truth.result).toBe('migrated');
    expect(truth.totalSeconds).toBeLessThanOrEqual(seconds);
    if (seconds >= 21) expect(truth.downtimeMs).toBeLessThanOrEqual(200);
    // Stock stops this guest for five seconds.
    if (seconds >= 18) expect(truth.downtimeMs).toBeLessThan(4500);
  });

  it('that has passed does not end the throttling of rounds that only Xen can end, and the user is told', () => {
    const { summary, truth, records } = simulate({
      scenario: loadScenario('busy-database'),
      seed: 1,
      controller: workingSet,
      options: { targetDowntimeMs: ms(200), ...how, deadlineMs: ms(20_000) },
      records: true,
    });
    expect(summary.outcome).toBe('met');
    expect(truth.downtimeMs).toBeLessThanOrEqual(200);
    expect(records.some((r) => r.type === 'decision' && r.decision.reason.text.includes('the deadline has passed'))).toBe(true);
  });
});

describe('a deadline', () => {
  it.each(['hopeless', 'memory-hog-1g'])('with --prefer speed lets %s go, although the target is out of reach', (scenario) => {
    expect(run(scenario, { prefer: 'speed', deadlineMs: ms(600_000) }).truth.result).toBe('migrated');
    expect(run(scenario, { prefer: 'speed' }).truth.result).toBe('stayed');
  });

  it('with --on-miss abort ends the migration by then, the guest at home', () => {
    const { truth } = run('stress', { deadlineMs: ms(15_000) });
    expect(truth.result).toBe('stayed');
    expect(truth.totalSeconds).toBeLessThanOrEqual(15);
  });
});
