import { because, type Controller, type ControllerOption, currentRound, type Goal, PAGE_BYTES } from '../src/core/index.ts';
import { type BaselineState, baseline, option, switchOver, type View, type Wish, wait } from './baseline.ts';

/*
 * auto-converge: QEMU's ratchet, and tailslow: the same with smaller steps near the end.
 *
 * Source: QEMU, migration/ram.c (migration_trigger_throttle, mig_throttle_guest_down), migration/options.c, and since 9.2
 * migration/cpu-throttle.c (the periodic sync).
 *
 *   at each sync of the dirty bitmap (a round's end), at least 1 s after the last one that counted:
 *     x = bytes sent, d = bytes dirtied since then
 *     if d > x × 50 %:  count++;  at 2: count = 0 and step
 *   step: p = 20 % first, then p + 10 %, at most 99 %
 *     tailslow: p + min(10, (100 − p) − (100 − p)·(x/2)/d)
 *   a period of little dirtying does not reset the count, and p never decreases
 *
 * QEMU makes all vCPUs sleep p % of the time; here that is a speed of 1 − p/100 of the domain's demand, as a cap. QEMU has no floor; ours,
 * which keeps the stall below the target, is put under it as under every controller: without it p = 99 % is a stall of three seconds.
 * Switch-over when what is left fits bandwidth × downtime limit; nothing ends it otherwise.
 */

const PERIODIC: ControllerOption = {
  name: 'periodic',
  summary: '1: also check every 5 s inside rounds after the first, as QEMU 9.2 does; it needs a peek',
  byDefault: 0,
  min: 0,
  max: 1,
  whole: true,
};

const PERIOD_MS_MIN = 1000;
const TRIGGER_SHARE = 0.5;
const TRIGGER_COUNT = 2;
const INITIAL_PERCENT = 20;
const INCREMENT_PERCENT = 10;
const MAX_PERCENT = 99;
const SYNC_MS = 5000;

export interface ConvergeState {
  readonly throttlePercent: number;
  readonly count: number;
  /** The last sync that counted, and what was dirtied since. */
  readonly sinceMs: number;
  readonly sinceBytes: number;
  readonly dirtiedPages: number;
  /** The last sync of any kind, and what of the running round it had already seen. */
  readonly syncedMs: number;
  readonly seenPages: number;
}

const INITIAL: ConvergeState = { throttlePercent: 0, count: 0, sinceMs: 0, sinceBytes: 0, dirtiedPages: 0, syncedMs: 0, seenPages: 0 };

const ratchet = (name: string, summary: string, tailslow: boolean): Controller<BaselineState<ConvergeState>> =>
  baseline<ConvergeState>({
    name,
    summary,
    options: [PERIODIC],
    initial: () => INITIAL,
    want(own, view) {
      const fits = switchOver(view);
      if (fits !== undefined) return { own, reason: fits, end: 'stop-and-copy' };
      const { observation, goal } = view;
      if (observation.type === 'round-start') {
        if (observation.round === 0) return wait({ ...own, sinceMs: observation.atMs, syncedMs: observation.atMs });
        const dirtied = Math.max(0, Math.min(observation.pagesToSend, goal.domain.populatedPages) - own.seenPages);
        return checked({ ...own, dirtiedPages: own.dirtiedPages + dirtied, seenPages: 0 }, view, tailslow);
      }
      const looked = periodicLook(own, view, goal);
      if (looked === undefined) return wait(own);
      const dirtied = Math.max(0, looked - own.seenPages);
      return checked({ ...own, dirtiedPages: own.dirtiedPages + dirtied, seenPages: looked }, view, tailslow);
    },
  });

function periodicLook(own: ConvergeState, { observation, track }: View, goal: Goal): number | undefined {
  if (option(goal, PERIODIC) === 0 || observation.type !== 'sample' || observation.round === 0) return undefined;
  return observation.atMs - own.syncedMs >= SYNC_MS ? currentRound(track)?.pagesDirtied : undefined;
}

function checked(own: ConvergeState, { observation, track }: View, tailslow: boolean): Wish<ConvergeState> {
  const synced = { ...own, syncedMs: observation.atMs };
  if (observation.atMs - own.sinceMs <= PERIOD_MS_MIN) return wait(synced);
  const sent = track.bytesSent - own.sinceBytes;
  const dirtied = own.dirtiedPages * PAGE_BYTES;
  const period = { ...synced, sinceMs: observation.atMs, sinceBytes: track.bytesSent, dirtiedPages: 0 };
  const numbers = { sentBytes: Math.round(sent), dirtiedBytes: dirtied };
  if (dirtied <= sent * TRIGGER_SHARE)
    return { own: period, reason: because('keeps-up', 'less than half of what was sent was dirtied', numbers) };
  const count = own.count + 1;
  if (count < TRIGGER_COUNT)
    return { own: { ...period, count }, reason: because('counted', `dirtied too much, ${count} of ${TRIGGER_COUNT}`, numbers) };
  const throttlePercent = stepped(own.throttlePercent, sent, dirtied, tailslow);
  const text = `dirtied too much ${TRIGGER_COUNT} times: throttle ${Math.round(throttlePercent)} %`;
  return {
    own: { ...period, count: 0, throttlePercent },
    speed: 1 - throttlePercent / 100,
    reason: because('step', text, { ...numbers, throttlePercent: Math.round(throttlePercent) }),
  };
}

function stepped(before: number, sent: number, dirtied: number, tailslow: boolean): number {
  if (before === 0) return INITIAL_PERCENT;
  const left = 100 - before;
  const increment = tailslow ? Math.min(INCREMENT_PERCENT, left - (left * sent * TRIGGER_SHARE) / dirtied) : INCREMENT_PERCENT;
  return Math.min(MAX_PERCENT, before + increment);
}

export const autoConverge = ratchet(
  'auto-converge',
  "QEMU's ratchet: 20 %, then 10 % more each time dirtying outpaces sending twice",
  false,
);
export const tailslow = ratchet('tailslow', "QEMU's ratchet with smaller steps near convergence (cpu-throttle-tailslow)", true);
