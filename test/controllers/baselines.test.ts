import { describe, expect, it } from 'vitest';
import { autoConverge } from '../../controllers/auto-converge.ts';
import { clark } from '../../controllers/clark.ts';
import { jin } from '../../controllers/jin.ts';
import { none } from '../../controllers/none.ts';
import * as novaModule from '../../controllers/nova.ts';
import { proportional } from '../../controllers/proportional.ts';
import { stepDown } from '../../controllers/step-down.ts';
import * as vdsmModule from '../../controllers/vdsm.ts';
import { bytes, type Goal, ms, pages } from '../../src/core/index.ts';
import { goal } from '../core/fixtures.ts';
import { atPolicyQueries, atRoundStarts, capOf, driver, observationsOf, sameRounds } from './drive.ts';

const MEMORY = 262_144;
const stock = (options: Readonly<Record<string, number>> = {}, onMiss: 'abort' | 'proceed' = 'abort'): Goal =>
  goal({ options, onMiss }, { populatedPages: pages(MEMORY) });
const ownPolicy = (targetDowntimeMs = 200): Goal =>
  goal({ targetDowntimeMs: ms(targetDowntimeMs) }, { populatedPages: pages(MEMORY) }, { policy: true, roundsMax: 1000 });
const request = { type: 'suspend-request', atMs: ms(30_000), round: 4, bytesSent: bytes(3e9) } as const;

describe('none', () => {
  it('grants whatever is left, also where abort is asked for', () => {
    const run = driver(none, stock());
    for (const o of observationsOf(sameRounds(5, MEMORY, 50_000))) expect(run.decide(o).action).toBe('hold');
    expect(run.decide(request).action).toBe('grant');
  });

  it('answers policy queries as Xen does: five rounds, or fewer than 50 pages', () => {
    const busy = atPolicyQueries(none, ownPolicy(), sameRounds(9, 5000, 50_000));
    expect(busy.at(-1)).toMatchObject([4, 'after', { action: 'stop-and-copy' }]);
    const calm = atPolicyQueries(none, ownPolicy(), [...sameRounds(1, MEMORY, 50_000), ...sameRounds(3, 49, 50_000)]);
    expect(calm.at(-1)).toMatchObject([1, 'before', { action: 'stop-and-copy' }]);
  });
});

describe('step-down', () => {
  const caps = (options: Readonly<Record<string, number>>) =>
    atRoundStarts(stepDown, stock(options), sameRounds(6, MEMORY, 50_000)).map(capOf);

  it('leaves the first round free, then comes down a fifth each round, to the floor', () => {
    expect(caps({})).toEqual([undefined, 80, 60, 40, 20, 18]);
  });

  it('takes the number of free rounds and the step', () => {
    expect(caps({ freeRounds: 3, stepPercent: 30 })).toEqual([undefined, undefined, undefined, 70, 40, 18]);
  });

  it('steps from what the guest uses, not from what it might', () => {
    const looks = [0.2, 0.5, 0.9].map((at) => ({ at, cpuTimeMs: 0.4 * at * 5000 }));
    const rounds = [{ pagesToSend: MEMORY, pagesPerSecond: MEMORY / 5, looks }, ...sameRounds(1, MEMORY, 50_000)];
    expect(atRoundStarts(stepDown, stock(), rounds).map(capOf)).toEqual([undefined, 32]);
  });
});

describe('proportional', () => {
  it('goes deeper the faster the guest dirties, and leaves it alone when it converges', () => {
    const capFor = (dirtied: number) =>
      capOf(
        atRoundStarts(proportional, ownPolicy(), [
          { pagesToSend: MEMORY, pagesPerSecond: 50_000 },
          { pagesToSend: dirtied, pagesPerSecond: 50_000 },
        ])[1],
      );
    const [calm, busy, busier] = [capFor(20_000), capFor(160_000), capFor(MEMORY)] as const;
    expect(calm).toBeUndefined();
    // Half of what was sent may be dirtied: 50 000 × 0.5 of the 30 518 pages/s that it dirties at full speed.
    expect(busy).toBe(82);
    expect(busier).toBe(50);
  });

  it('goes back up when dirtying falls', () => {
    const rounds = [MEMORY, MEMORY, 30_000].map((pagesToSend) => ({ pagesToSend, pagesPerSecond: 50_000 }));
    const decisions = atRoundStarts(proportional, ownPolicy(), rounds);
    expect(capOf(decisions[1])).toBe(50);
    expect(decisions[2]?.action).toBe('uncap');
  });
});

describe('jin', () => {
  const rate = 50_000;

  it('waits while rounds shrink', () => {
    const shrinking = [MEMORY, 200_000, 150_000, 100_000].map((pagesToSend) => ({ pagesToSend, pagesPerSecond: rate }));
    expect(atRoundStarts(jin, stock(), shrinking).map(capOf)).toEqual([undefined, undefined, undefined, undefined]);
  });

  it('once they stop, takes the share that reaches the target in the rounds left', () => {
    const decisions = atRoundStarts(jin, goal({ minCapPercent: 1 }, { populatedPages: pages(MEMORY) }), [
      { pagesToSend: MEMORY, pagesPerSecond: rate },
      ...sameRounds(2, 200_000, rate),
    ]);
    const { reason } = decisions[2] as (typeof decisions)[number];
    // D₁ = 200 000 pages in 4 s; ρ = (target/200 000)^(1/3), rounds 2, 3 and 4 being left.
    expect(reason.numbers['dirtyRate']).toBe(50_000);
    const target = reason.numbers['targetPages'] as number;
    expect(capOf(decisions[2])).toBe(Math.round(100 * (target / 200_000) ** (1 / 3)));
  });
});

describe('a target of pages', () => {
  const byPages = goal({ maxDirtyPages: pages(3000) }, { populatedPages: pages(MEMORY) }, { policy: true, roundsMax: 1000 });
  const rounds = (...sizes: number[]) => sizes.map((pagesToSend) => ({ pagesToSend, pagesPerSecond: 250_000 }));

  it.each([stepDown, proportional, jin, autoConverge])('$name ends the rounds once they fit it, not by the downtime', (controller) => {
    const stops = (...sizes: number[]) =>
      atPolicyQueries(controller, byPages, rounds(...sizes)).filter(([, , { action }]) => action === 'stop-and-copy');
    expect(stops(MEMORY, 5000, 5000, 5000)).toEqual([]);
    const [round, when, decision] = stops(MEMORY, 5000, 1000, 1000)[0] ?? [];
    expect([round, when]).toEqual([1, 'after']);
    expect(decision?.reason.text).toMatch(/at most \d+ pages sent after the suspend, allowed are 3000 pages/);
  });

  it.each([
    ['proportional', proportional, 'fitPages'],
    ['jin', jin, 'targetPages'],
  ] as const)('%s steers for the pages', (_, controller, name) => {
    const steersFor = (most: number): number => {
      const of = goal({ maxDirtyPages: pages(most) }, { populatedPages: pages(MEMORY) });
      return atRoundStarts(controller, of, sameRounds(4, MEMORY, 50_000))[3]?.reason.numbers[name] as number;
    };
    expect(steersFor(40_000)).toBeLessThan(40_000 - 300);
    expect(steersFor(41_000) - steersFor(40_000)).toBe(1000);
  });
});

describe('clark', () => {
  const stopOf = (rounds: Parameters<typeof atPolicyQueries>[2]) => {
    const [round, when, decision] = atPolicyQueries(clark, ownPolicy(), rounds).at(-1) as readonly [
      number,
      string,
      { action: string; reason: { code: string } },
    ];
    return decision.action === 'stop-and-copy' ? [round, when, decision.reason.code] : undefined;
  };
  const shrinking = (count: number) =>
    Array.from({ length: count }, (_, n) => ({ pagesToSend: Math.round(9000 - 100 * n), pagesPerSecond: 50_000 }));

  it('stops before a round of fewer than 50 pages', () => {
    expect(stopOf([...shrinking(3), ...sameRounds(1, 49, 1000)])).toEqual([3, 'before', 'few-pages']);
  });

  it('stops after 29 rounds', () => expect(stopOf(shrinking(40))).toEqual([28, 'after', 'rounds']));

  it('stops once more than three times the memory was sent', () => {
    const large = Array.from({ length: 6 }, (_, n) => ({ pagesToSend: MEMORY - 10 * n, pagesPerSecond: 50_000 }));
    expect(stopOf(large)).toEqual([3, 'after', 'bytes']);
  });

  it('stops when a round sent more than the one before', () => {
    expect(stopOf([9000, 8000, 8001, 100].map((pagesToSend) => ({ pagesToSend, pagesPerSecond: 50_000 })))).toEqual([
      2,
      'after',
      'sent-grows',
    ]);
  });
});

describe('vdsm', () => {
  it('allows 100, 150, 200, 300, 400, 400, 500 of 500 ms', () => {
    expect([0, 1, 2, 3, 4, 5, 6, 9].map((n) => Math.round(500 * vdsmModule.allowedShare(n)))).toEqual([
      100, 150, 200, 300, 400, 400, 500, 500,
    ]);
  });

  it('aborts after the schedule', () => {
    const answers = atPolicyQueries(vdsmModule.vdsm, ownPolicy(), sameRounds(12, 100_000, 50_000));
    expect(answers.at(-1)).toMatchObject([6, 'after', { action: 'abort', reason: { code: 'schedule-over' } }]);
  });

  it('stops as soon as what is left fits what is allowed by then', () => {
    // About 10 000 pages at 50 000/s and the fixed costs are some 300 ms: allowed of 500 ms after the fourth round.
    const answers = atPolicyQueries(vdsmModule.vdsm, ownPolicy(500), [...sameRounds(1, MEMORY, 50_000), ...sameRounds(8, 9000, 50_000)]);
    const [round, , decision] = answers.at(-1) as (typeof answers)[number];
    expect(decision.action).toBe('stop-and-copy');
    expect(round).toBeGreaterThan(1);
    expect(round).toBeLessThan(6);
  });
});

describe('nova', () => {
  it('goes from a tenth of the target to all of it in ten equal steps', () => {
    expect([0, 1, 2, 5, 10, 11].map((n) => Math.round(400 * novaModule.allowedShare(n)))).toEqual([40, 76, 112, 220, 400, 400]);
  });

  it('aborts at 800 s per GiB, counted as at least two', () => {
    const rounds = sameRounds(400, 100_000, 20_000);
    const run = driver(novaModule.nova, ownPolicy());
    const abort = [...observationsOf(rounds, true)].find((o) => run.decide(o).action === 'abort');
    expect((abort?.atMs ?? 0) / 1000).toBeGreaterThan(1600);
    expect((abort?.atMs ?? 0) / 1000).toBeLessThan(1606);
  });
});

describe('every baseline but stock', () => {
  const throttling = [stepDown, proportional, jin, clark, vdsmModule.vdsm, novaModule.nova];

  it.each(throttling.map((c) => [c.name, c] as const))('%s denies a suspension that misses, and grants it on request', (_, controller) => {
    for (const [onMiss, action] of [
      ['abort', 'deny'],
      ['proceed', 'grant'],
    ] as const) {
      const run = driver(controller, stock({}, onMiss));
      for (const o of observationsOf(sameRounds(5, MEMORY, 50_000))) run.decide(o);
      expect(run.decide({ ...request, dirtyPages: pages(MEMORY) }).action).toBe(action);
    }
  });

  it.each(throttling.map((c) => [c.name, c] as const))('%s aborts at the deadline', (_, controller) => {
    const run = driver(controller, goal({ deadlineMs: ms(7000) }, { populatedPages: pages(MEMORY) }));
    const actions = [...observationsOf(sameRounds(2, MEMORY, 50_000))].map(
      (o) => [o.atMs > 7000, run.decide(o).action === 'abort'] as const,
    );
    for (const [late, aborted] of actions) expect(aborted).toBe(late);
    expect(actions.some(([late]) => late)).toBe(true);
  });
});
