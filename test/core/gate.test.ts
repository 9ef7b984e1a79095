import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  answerSuspend,
  between,
  bytesPerSecond,
  capped,
  gate,
  initialTrack,
  judge,
  lastStall,
  ms,
  pages,
  pagesSurelyWithin,
  pagesThatSurelyFit,
  predictDowntime,
  predictLastPages,
  runFirstOf,
  type Track,
} from '../../src/core/index.ts';
import { goal } from './fixtures.ts';

const rate = (value: number, spread = 0.05) =>
  between(bytesPerSecond(value * (1 - spread)), bytesPerSecond(value), bytesPerSecond(value * (1 + spread)));
const exact = (n: number) => between(pages(n), pages(n), pages(n));
const full = (perSecond: number) => between(perSecond, perSecond, perSecond);
const track = (patch: Partial<Track> = {}): Track => ({ ...initialTrack(goal()), transferRate: rate(1e9), ...patch });

describe('suspend gate', () => {
  it('grants what surely fits', () => {
    expect(answerSuspend(exact(5000), full(1000), track(), goal())).toMatchObject({ action: 'grant', reason: { code: 'fits' } });
  });

  it('denies what may not fit, or lets it pass when told to', () => {
    expect(answerSuspend(exact(32_000), full(1000), track(), goal())).toMatchObject({ action: 'deny', reason: { code: 'misses-abort' } });
    const proceed = answerSuspend(exact(32_000), full(1000), track(), goal({ onMiss: 'proceed' }));
    expect(proceed).toMatchObject({ action: 'grant', reason: { code: 'misses-proceed' } });
    expect(proceed).not.toHaveProperty('runFirstMs');
  });

  it('lets the guest run first when the last stall would join the downtime: for a slice where it cannot be seen to run', () => {
    const stalled = track({ cap: capped(20) });
    for (const seen of [true, false]) {
      const runFirstMs = runFirstOf(seen, { activeVcpus: 1 }, ms(30));
      expect(answerSuspend(exact(2000), full(1000), stalled, goal({}, {}, { runFirstMs }))).toMatchObject({
        action: 'grant',
        runFirstMs,
        reason: { code: 'fits-after-slice' },
      });
    }
    expect([true, false].map((seen) => runFirstOf(seen, { activeVcpus: 1 }, ms(30)))).toEqual([15, 30]);
    // One that waits for its accounting waits that long for it while the others run.
    expect(runFirstOf(true, { activeVcpus: 2 }, ms(30))).toBe(30);
  });

  it("reckons with an owner's cap: such a guest stands later, and may have dirtied at full speed until then", () => {
    const halved = goal({}, { vcpus: 2, activeVcpus: 2, capOriginal: capped(100) });
    const whole = goal({}, { vcpus: 2, activeVcpus: 2 });
    const [slow, fast] = [halved, whole].map((g) => predictDowntime(exact(1000), full(100_000), rate(1e9), g));
    expect((slow?.high as number) - (fast?.high as number)).toBeGreaterThan(40);
    expect(slow?.low).toBeLessThanOrEqual((fast?.value as number) + 1);
  });

  it('counts what that slice dirties', () => {
    const stalled = track({ cap: capped(20) });
    const calm = answerSuspend(exact(2000), full(1000), stalled, goal());
    const busy = answerSuspend(exact(2000), full(600_000), stalled, goal());
    expect(calm.forecast?.downtimeMs.value).toBeLessThan(busy.forecast?.downtimeMs.value as number);
    expect(busy.action).toBe('deny');
  });

  it('counts no longer a last stall than the guest can have been standing since it was seen to run', () => {
    const g = goal({ targetDowntimeMs: ms(192) }, {}, { runFirstMs: ms(30) });
    const seen = (atMostMs: number, agoMs: number) =>
      track({ cap: capped(20), atMs: ms(10_000), standing: { atMs: ms(10_000 - agoMs), atMostMs: ms(atMostMs) } });
    expect(lastStall(track({ cap: capped(20) }), g)).toBe(180);
    expect(lastStall(seen(10, 25), g)).toBe(35 + 30 + g.capabilities.liftLatencyMs);
    expect(lastStall(seen(150, 100), g)).toBe(180);
    expect(lastStall(track({ standing: { atMs: ms(0), atMostMs: ms(10) } }), g)).toBe(0);
    expect(answerSuspend(exact(1000), full(300_000), seen(150, 100), g).action).toBe('deny');
    expect(answerSuspend(exact(1000), full(300_000), seen(0, 1), g)).toMatchObject({ action: 'grant', reason: { code: 'fits' } });
  });

  it('says what keeps a downtime that fits by itself from being granted: the stall before it', () => {
    const busy = answerSuspend(exact(2000), full(600_000), track({ cap: capped(20) }), goal());
    expect(busy.forecast?.guestGapMs).toBeGreaterThan(goal().targetDowntimeMs);
    expect(busy.reason.text).toMatch(
      /at most (\d+)\) against a target of 200 ms, with a last stall of up to 180 ms before it; --on-miss abort/,
    );
    const proceed = answerSuspend(exact(2000), full(600_000), track({ cap: capped(20) }), goal({ onMiss: 'proceed' }));
    expect(proceed.reason.text).toContain('with a last stall of up to 180 ms before it; --on-miss proceed');
    expect(answerSuspend(exact(32_000), full(1000), track(), goal()).reason.text).not.toContain('stall');
  });

  it('grants as stock when nothing is known', () => {
    expect(gate(initialTrack(goal()), goal())).toMatchObject({ action: 'grant', reason: { code: 'no-prediction' } });
  });

  it('never grants above the target under --on-miss abort, stall included', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 32_768 }),
        fc.integer({ min: 0, max: 500_000 }),
        fc.integer({ min: 10_000_000, max: 4_000_000_000 }),
        fc.option(fc.integer({ min: 1, max: 100 })),
        fc.integer({ min: 20, max: 2000 }),
        (dirty, perSecond, bps, cap, target) => {
          const g = goal({ targetDowntimeMs: ms(target) });
          const t = track({ transferRate: rate(bps), ...(cap === null ? {} : { cap: capped(cap) }) });
          const answer = answerSuspend(exact(dirty), full(perSecond), t, g);
          if (answer.action !== 'grant') return;
          const high = answer.forecast?.downtimeMs.high as number;
          expect(high).toBeLessThanOrEqual(target);
          if (answer.runFirstMs === undefined) expect(high + lastStall(t, g)).toBeLessThanOrEqual(target);
        },
      ),
    );
  });

  it('agrees with the number of pages that surely fit', () => {
    const g = goal({}, { populatedPages: pages(10_000_000) });
    for (const perSecond of [0, 20_000, 200_000]) {
      const fit = pagesThatSurelyFit(ms(200), full(perSecond), rate(1e9), g, ms(0));
      expect(predictDowntime(exact(fit), full(perSecond), rate(1e9), g, ms(0)).high).toBeCloseTo(200, 3);
      expect(judge(exact(fit + 100), full(perSecond), rate(1e9), ms(0), g).fits).toBe('no');
    }
  });

  it('a cap that need not be lifted costs no lift', () => {
    const g = goal({}, {}, { liftLatencyMs: ms(300) });
    const lifted = predictDowntime(exact(1000), full(50_000), rate(1e9), g);
    const free = predictDowntime(exact(1000), full(50_000), rate(1e9), g, ms(0));
    expect(free.high).toBeLessThan(lifted.high);
    expect(free.value).toBeLessThan(lifted.value);
  });
});

describe('a target of pages', () => {
  const most = (maxDirtyPages: number, onMiss: 'abort' | 'proceed' = 'abort') => goal({ maxDirtyPages: pages(maxDirtyPages), onMiss });

  it('counts what is sent after the suspend, by its upper bound, not what is dirty at the request', () => {
    const sent = predictLastPages(exact(3800), full(200_000), most(1), ms(0));
    expect(sent.value).toBeGreaterThan(5000);
    expect(answerSuspend(exact(3800), full(200_000), track(), most(5000)).action).toBe('deny');
    expect(answerSuspend(exact(3800), full(200_000), track(), most(Math.ceil(sent.value))).action).toBe('deny');
    expect(answerSuspend(exact(3800), full(200_000), track(), most(Math.ceil(sent.high)))).toMatchObject({
      action: 'grant',
      forecast: { lastPages: sent },
    });
  });

  it('is worded in pages, and says why it goes on', () => {
    const text = (onMiss: 'abort' | 'proceed') => answerSuspend(exact(3800), full(200_000), track(), most(5000, onMiss)).reason.text;
    expect(text('abort')).toMatch(
      /^predicted \d+ pages sent after the suspend \(at most \d+\) against a target of 5000 pages; --on-miss abort/,
    );
    expect(text('proceed')).toMatch(/against a target of 5000 pages; --on-miss proceed$/);
  });

  it('knows no stall: the guest is not let run first, nor is it forecast to', () => {
    const stalled = track({ cap: capped(20) });
    const answer = answerSuspend(exact(2000), full(10_000), stalled, most(20_000));
    expect(answer).not.toHaveProperty('runFirstMs');
    expect(answer.forecast?.lastPages).toEqual(predictLastPages(exact(2000), full(10_000), most(20_000)));
  });

  it('agrees with the number of pages that may be dirty at the request', () => {
    const g = most(8000);
    for (const perSecond of [0, 20_000, 100_000]) {
      const fit = pagesSurelyWithin(pages(8000), full(perSecond), g);
      expect(predictLastPages(exact(fit), full(perSecond), g).high).toBeCloseTo(8000, 3);
    }
    expect(pagesSurelyWithin(pages(50), full(1000), g)).toBe(0);
  });
});
