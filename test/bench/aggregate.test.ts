import { describe, expect, it } from 'vitest';
import { aggregate } from './aggregate.ts';
import { NOT_REACHABLE, reference, result, row } from './fixtures.ts';

const of = (...results: Parameters<typeof aggregate>[0]) => aggregate(results, 'mine');

describe('aggregate', () => {
  it('counts what was attained of the feasible, and of what the planner attains at all', () => {
    const a = of(
      result([row()]),
      result([row({ attained: false })]),
      result([row()], reference({ feasible: false })),
      result([row({ attained: false })], NOT_REACHABLE),
    );
    expect(a).toMatchObject({ scenarios: 4, feasible: 2, attained: 1, reachable: 3, attainedReachable: 2, infeasible: 1 });
  });

  it('takes the ratio with 1 % of the guest time added to both sides, where both attain', () => {
    // (4 + 1)/(1.5 + 1) = 2; what was not attained does not count.
    const plan = reference({ lostSeconds: 1.5 });
    const a = of(result([row({ lostSeconds: 4 })], plan), result([row({ lostSeconds: 900, attained: false })], plan));
    expect(a.lostWorkRatio).toEqual({ median: 2, p95: 2, n: 1 });
  });

  it('measures a profile against the planner under the same slew limit', () => {
    const free = reference({ lostSeconds: 0 });
    const slewed = reference({ lostSeconds: 3 });
    expect(of(result([row({ lostSeconds: 3 })], free, slewed)).lostWorkRatio.median).toBe(4);
    expect(of(result([row({ lostSeconds: 3, profile: 'progressive' })], free, slewed)).lostWorkRatio.median).toBe(1);
  });

  it('reports losing less than the planner, beyond the planner’s own grid', () => {
    const plan = reference({ lostSeconds: 10 });
    expect(of(result([row({ lostSeconds: 9.5 })], plan)).beatsPlanner).toBe(0);
    expect(of(result([row({ lostSeconds: 8.5 })], plan)).beatsPlanner).toBe(1);
  });

  it('calls it luck where the planner could have lost as little with the best luck of parking', () => {
    const lucky = (lostSeconds: number) => ({
      ...result([row({ lostSeconds: 2 })], reference({ lostSeconds: 10 })),
      luckyLostSeconds: { steep: lostSeconds },
    });
    expect(of(lucky(1), lucky(2.5), lucky(3.5))).toMatchObject({ beatsPlanner: 1, parkingLuck: 2 });
    expect(of(result([row({ lostSeconds: 9.5 })], reference({ lostSeconds: 10 })))).toMatchObject({ beatsPlanner: 0, parkingLuck: 0 });
  });

  it('compares with auto-converge where both attain, by geometric mean', () => {
    const against = (mine: number, qemu: number, attained = true) =>
      result([
        row({ lostSeconds: mine, totalSeconds: 80 }),
        row({ variant: 'auto-converge', lostSeconds: qemu, totalSeconds: 100, attained }),
      ]);
    const a = of(against(0, 1), against(7, 1), against(0, 0), against(50, 1, false));
    // (0+1)/(1+1) and (7+1)/(1+1) where either throttled; with neither: 1.
    expect(a.nBothAttainThrottled).toBe(1);
    expect(a.lostWorkVsAutoConverge).toBeCloseTo(4);
    // The planner's fixture loses nothing.
    expect(a.plannerVsAutoConverge).toBeCloseTo(0.5);
    expect(a.nBothAttain).toBe(3);
    expect(a.lostWorkVsAutoConvergeAll).toBeCloseTo((0.5 * 4 * 1) ** (1 / 3));
    expect(a.totalTimeVsAutoConverge).toBeCloseTo(0.8);
  });

  it('counts verdicts: in time on the unreachable, wrong on the feasible', () => {
    const a = of(
      result([row({ attained: false, saidInfeasibleRound: 1 })], NOT_REACHABLE),
      result([row({ attained: false, saidInfeasibleRound: 2 })], NOT_REACHABLE),
      result([row({ attained: false })], NOT_REACHABLE),
      result([row({ saidInfeasibleRound: 0 })]),
      result([row({ gaveUp: true, attained: false })]),
      result([row({ saidInfeasibleRound: 0 })], reference({ feasible: false })),
    );
    expect(a).toMatchObject({ infeasible: 3, verdictInTime: 1, wrongVerdicts: 2 });
  });

  it('counts suspensions granted above the target, and stalls above the allowed', () => {
    const a = of(
      result([row({ predictedHighMs: 201, stallMs: 202 })]),
      result([row({ predictedHighMs: 200, stallMs: 200 })]),
      result([row({ predictedHighMs: 900, observedMs: null, attained: false })]),
    );
    expect(a).toMatchObject({ grantedAbove: 1, stallsAboveAllowed: 1, stallMaxMs: 202 });
  });

  it('counts gaps above the target where the downtime met it', () => {
    const a = of(
      result([row({ gapMs: 201 })]),
      result([row({ gapMs: 200 })]),
      result([row({ gapMs: 900, attained: false })]),
      result([row({ gapMs: null })]),
    );
    expect(a.gapsAboveTarget).toBe(1);
  });

  it('takes the prediction error against what was observed', () => {
    const a = of(result([row({ predictedMs: 180, observedMs: 200 })]), result([row({ predictedMs: null })]));
    expect(a.predictionErrorP90).toBeCloseTo(0.1);
    expect(a.nPredicted).toBe(1);
  });
});
