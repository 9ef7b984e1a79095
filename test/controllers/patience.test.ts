import { describe, expect, it } from 'vitest';
import { calmOf } from '../../controllers/working-set/patience.ts';
import { weightsOf } from '../../controllers/working-set/preferences.ts';
import { cheapest, ms, type PlanModel, type PlanStart } from '../../src/core/index.ts';
import { goal as goalOf } from '../core/fixtures.ts';

/** F(w) = A (1 − e^(−w/T)), A = 200 000 pages, T = 2 s, on a link of 40 pages/ms. */
const uniform = {
  workMin: 4,
  workMax: 60_000,
  at: (w: number) => 200_000 * -Math.expm1(-w / 2000),
  workFor: (count: number) => (count < 200_000 ? -2000 * Math.log1p(-count / 200_000) : Number.POSITIVE_INFINITY),
  exponentAt: () => 0.5,
};
const model: PlanModel = {
  shape: uniform,
  deviceShare: 0,
  pagesPerMs: 40,
  pagesPerMsLater: 40,
  floorSpeed: 0.1,
  slew: 0.5,
  latencyMs: 15,
  fitPages: 4000,
  fitPagesLifted: 4500,
  fitPagesFree: 5000,
  stallPages: () => 0,
  onTimeMs: 0,
  looks: true,
  tailMs: 45,
};
const goal = goalOf({ targetDowntimeMs: ms(200), profile: 'progressive' });

describe('the calm that is waited for', () => {
  it('costs a free guest that is as calm as ever what its own course costs, wherever in a round it is', () => {
    for (const share of [0.05, 0.3, 0.6, 0.95]) {
      const timeMs = share * 5000;
      const start: PlanStart = {
        pagesLeft: (1 - share) * 200_000,
        dirtyPages: uniform.at(timeMs),
        workMs: timeMs,
        timeMs,
        speedBefore: 1,
        speedNow: 1,
        roundsLeft: 20,
        openEnded: true,
      };
      const own = cheapest(model, model, start, start, weightsOf(goal, false), Number.POSITIVE_INFINITY);
      const calm = calmOf(model, model, start, goal);
      expect(own.lostMs).toBeGreaterThan(100);
      expect(calm?.busier).toBe(1);
      expect((calm?.course.lostMs ?? 0) / own.lostMs, `${share} of the round is over`).toBeCloseTo(1, 2);
    }
  });
});
