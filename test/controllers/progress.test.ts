import { describe, expect, it } from 'vitest';
import { NEW_GUEST } from '../../controllers/working-set/guest.ts';
import { progress, type WorkingSetState } from '../../controllers/working-set/state.ts';
import { workingSet } from '../../controllers/working-set.ts';
import { bytes, bytesPerSecond, exactly, type GoalOptions, initialTrack, ms, type Observation, pages } from '../../src/core/index.ts';
import { goal as goalOf } from '../core/fixtures.ts';

const start = (round: number, count: number): Observation => ({
  type: 'round-start',
  atMs: ms(1000 * round),
  round,
  pagesToSend: pages(count),
  bytesSent: bytes(0),
});

/** How many floor rounds without progress are counted over rounds of these pages, at 10 000 pages a second. */
function stuckAfter(counts: readonly number[], options: Partial<GoalOptions> = {}, speedBefore = 0.1): number {
  const goal = goalOf({ targetDowntimeMs: ms(1000), minCapPercent: 10, ...options }, { vcpus: 1, activeVcpus: 1 });
  const track = { ...initialTrack(goal), transferRate: exactly(bytesPerSecond(10_000 * 4104)) };
  let state: WorkingSetState = { ...workingSet.initial(goal), track, falling: true };
  for (const [i, pagesToSend] of counts.entries()) {
    const guest = { ...NEW_GUEST, demandPercent: 100, speedBefore, pagesToSend };
    state = { ...state, guest, stuck: progress(state, start(i + 2, pagesToSend), guest, goal) };
  }
  return state.stuck.rounds;
}

describe('progress at the floor', () => {
  it('is made by a round that is smaller by more than a twenty-fifth', () => {
    expect(stuckAfter([10_000, 9000, 8000, 7000])).toBe(1);
    expect(stuckAfter([10_000, 9900, 9800, 9700])).toBe(4);
  });

  it('is not made by a round that saves less than a hundredth of a target in time', () => {
    // 100 pages are 10 ms: a hundredth of the target.
    expect(stuckAfter([1000, 950, 930, 910])).toBe(4);
    expect(stuckAfter([1000, 890, 780, 670])).toBe(1);
  });

  it('is made by rounds that shrink again after a busy phase, be they larger than the best', () => {
    expect(stuckAfter([10_000, 20_000, 14_000, 9900])).toBe(2);
    expect(stuckAfter([10_000, 20_000, 14_000, 9900, 5000])).toBe(1);
    expect(stuckAfter([10_000, 20_000, 16_000, 13_000])).toBe(4);
  });

  it('counts every page of a target in pages', () => {
    expect(stuckAfter([1000, 950, 905, 865], { maxDirtyPages: pages(500) })).toBe(1);
  });

  it('is not asked of rounds above the floor', () => {
    expect(stuckAfter([1000, 1000, 1000], {}, 0.5)).toBe(0);
  });
});
