import { describe, expect, it } from 'vitest';
import { autoConverge, tailslow } from '../../controllers/auto-converge.ts';
import { ms, pages } from '../../src/core/index.ts';
import { goal } from '../core/fixtures.ts';
import { atRoundStarts, capOf, driver, observationsOf, type ScriptedRound, sameRounds } from './drive.ts';

const MEMORY = 262_144;
const unlimited = (options: Readonly<Record<string, number>> = {}) =>
  goal({ minCapPercent: 1, options }, { populatedPages: pages(MEMORY) }, { policy: true, roundsMax: 1000 });
const caps = (controller: typeof autoConverge, rounds: readonly ScriptedRound[]) =>
  atRoundStarts(controller, unlimited(), rounds)
    .map(capOf)
    .filter((c) => c !== undefined);

describe('auto-converge', () => {
  it('throttles 20 % first, then 10 % more, at most 99 %, at every second sync that dirtied over half of what was sent', () => {
    expect(caps(autoConverge, sameRounds(23, MEMORY, 100_000))).toEqual([80, 70, 60, 50, 40, 30, 20, 10, 1, 1, 1]);
  });

  it('takes its first step at the second sync', () => {
    const decisions = atRoundStarts(autoConverge, unlimited(), sameRounds(4, MEMORY, 100_000));
    expect(decisions.map(capOf)).toEqual([undefined, undefined, 80, undefined]);
  });

  it('does nothing while dirtying stays at half of what is sent', () => {
    const halving = [MEMORY, MEMORY / 2, MEMORY / 4, MEMORY / 8].map((pagesToSend) => ({ pagesToSend, pagesPerSecond: 10_000 }));
    expect(caps(autoConverge, halving)).toEqual([]);
  });

  it('keeps its count through a calm period, and never lets the guest run faster again', () => {
    const big = { pagesToSend: MEMORY, pagesPerSecond: 100_000 };
    const calm = { pagesToSend: MEMORY / 4, pagesPerSecond: 20_000 };
    // Dirtied since the round before: big counts; calm does not count and does not reset; the next big one is the second.
    expect(caps(autoConverge, [big, big, calm, big])).toEqual([80]);
    const later = caps(autoConverge, [
      ...sameRounds(5, MEMORY, 100_000),
      ...sameRounds(20, 5000, 2000).map((r) => ({ ...r, pagesToSend: 100 })),
    ]);
    expect(later).toEqual([80, 70]);
  });

  it('adds periods of less than a second together', () => {
    const fast = sameRounds(12, 40_000, 100_000);
    // 0.4 s a round: a check every third one, a step at every second check.
    const decisions = atRoundStarts(autoConverge, unlimited(), fast).map(capOf);
    expect(decisions.flatMap((c, round) => (c === undefined ? [] : [[round, c]]))).toEqual([[6, 80]]);
  });

  it('looks inside long rounds only when asked to, and not in the first', () => {
    const looks = [0.2, 0.4, 0.6, 0.8].map((at) => ({ at, dirtyPages: at * MEMORY }));
    const slow = Array.from({ length: 2 }, () => ({ pagesToSend: MEMORY, pagesPerSecond: 8000, looks }));
    const stepsIn = (options: Readonly<Record<string, number>>) => {
      const run = driver(autoConverge, unlimited(options));
      return [...observationsOf(slow)].flatMap((o) => (capOf(run.decide(o)) === undefined ? [] : [o.type === 'sample' ? o.round : o.type]));
    };
    expect(stepsIn({})).toEqual([]);
    expect(stepsIn({ periodic: 1 })).toEqual([1, 1]);
  });
});

describe('tailslow', () => {
  it('steps by what is missing where that is less than 10 %', () => {
    // d = 0.55 x: ideal speed is 0.5/0.55 of the present one: 80 → 72.7 (cut 7.3 %).
    const rounds: ScriptedRound[] = [];
    let pagesToSend = MEMORY;
    for (let n = 0; n < 5; n++) {
      rounds.push({ pagesToSend: Math.round(pagesToSend), pagesPerSecond: pagesToSend / 2 });
      pagesToSend *= (0.55 * 4104) / 4096;
    }
    expect(caps(tailslow, rounds)).toEqual([80, 73]);
    expect(caps(autoConverge, rounds)).toEqual([80, 70]);
  });

  it('never steps by more than auto-converge', () => {
    expect(caps(tailslow, sameRounds(9, MEMORY, 100_000))).toEqual([80, 70, 60, 50]);
  });
});

it('is refused an option out of range, with what is allowed', () => {
  const wrong = goal({ targetDowntimeMs: ms(200), options: { periodic: 7 } });
  const run = driver(autoConverge, wrong);
  expect(() => [...observationsOf([{ pagesToSend: 100, pagesPerSecond: 10, looks: [{ at: 0.5 }] }])].map((o) => run.decide(o))).toThrow(
    /periodic expects 0 or 1, got 7/,
  );
});
