import { describe, expect, it } from 'vitest';
import { demandOf, NEW_GUEST, watch } from '../../controllers/working-set/guest.ts';
import { bytes, type Cap, capped, initialTrack, ms, type Observation, observe, pages } from '../../src/core/index.ts';
import { goal as goalOf } from '../core/fixtures.ts';

const goal = goalOf({}, { vcpus: 8, activeVcpus: 8 });

/** A guest whose CPU time is that of the caps it had, and of its demand where none bites. */
function watched(demand: number, spans: readonly { readonly forMs: number; readonly cap?: Cap; readonly read?: boolean }[]) {
  let guest = NEW_GUEST;
  let track = initialTrack(goal);
  let [atMs, cpuMs] = [0, 0];
  const see = (observation: Observation): void => {
    guest = watch(guest, observation, track, goal);
    track = observe(track, observation, goal);
  };
  see({ type: 'round-start', atMs: ms(0), round: 0, pagesToSend: pages(1e6), bytesSent: bytes(0) });
  see({ type: 'sample', atMs: ms(0), round: 0, cpuTimeMs: ms(0) });
  for (const { forMs, cap, read = true } of spans) {
    if (cap !== undefined) see({ type: 'cap-changed', atMs: ms(atMs), cap, by: 'us' });
    atMs += forMs;
    cpuMs += (forMs * Math.min(demand, cap?.kind === 'capped' ? cap.percent : demand)) / 100;
    if (read) see({ type: 'sample', atMs: ms(atMs), round: 0, cpuTimeMs: ms(cpuMs) });
  }
  return guest;
}

describe('what working-set believes of the demand', () => {
  it('is what a free guest uses', () => {
    expect(demandOf(watched(446, [{ forMs: 2000 }]), goal)).toBeCloseTo(446, 0);
  });

  it('falls when the guest leaves much of its cap unused', () => {
    const calmed = watched(446, [{ forMs: 2000 }, { forMs: 2000, cap: capped(300) }]);
    expect(demandOf(calmed, goal)).toBeCloseTo(446, 0);
    const spans = Array.from({ length: 10 }, () => ({ forMs: 2000, cap: capped(700) }));
    expect(demandOf(watched(200, spans), goal)).toBeLessThan(230);
  });

  it('falls when the guest calms down, though the cap was low until just after the last look', () => {
    const calm = Array.from({ length: 10 }, (_, k) => [
      { forMs: 1, cap: capped(40 + k), read: false },
      { forMs: 2000, cap: capped(300 + k), read: true },
    ]).flat();
    expect(demandOf(watched(60, calm), goal)).toBeLessThan(90);
  });

  it('stays when the cap was raised since the last look: what the guest used was all that the lower one allowed', () => {
    const raised = watched(446, [
      { forMs: 2000 },
      { forMs: 1590, cap: capped(223), read: false },
      { forMs: 4, cap: capped(265) },
      { forMs: 1590, cap: capped(265) },
    ]);
    expect(demandOf(raised, goal)).toBeCloseTo(446, 0);
  });
});

describe('the mean speed of the round before', () => {
  /** A round of 200 ms under a quarter of the demand, in which the guest's CPU time was `cpuMs`. */
  const speedAfter = (cpuMs: number): number => {
    let guest = NEW_GUEST;
    let track = initialTrack(goal);
    const see = (observation: Observation): void => {
      guest = watch(guest, observation, track, goal);
      track = observe(track, observation, goal);
    };
    const roundAt = (atMs: number, round: number) =>
      see({ type: 'round-start', atMs: ms(atMs), round, pagesToSend: pages(1e6), bytesSent: bytes(0) });
    const readAt = (atMs: number, round: number, used: number) => see({ type: 'sample', atMs: ms(atMs), round, cpuTimeMs: ms(used) });
    roundAt(0, 0);
    readAt(0, 0, 0);
    readAt(2000, 0, 8000);
    roundAt(2000, 1);
    see({ type: 'cap-changed', atMs: ms(2000), cap: capped(100), by: 'us' });
    readAt(2200, 1, 8000 + cpuMs);
    roundAt(2200, 2);
    return guest.speedBefore;
  };

  it('is that of its caps where luck of parking let the guest run for longer', () => {
    expect(speedAfter(400)).toBeCloseTo(0.25, 2);
  });

  it('is what was measured where that is less', () => {
    expect(speedAfter(80)).toBeCloseTo(0.1, 2);
  });
});
