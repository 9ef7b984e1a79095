import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Frame } from '../../../src/xen/relay/frames.ts';
import { type Event, eventOf, PHASE_INITIAL } from '../../../src/xen/relay/rounds.ts';
import { capture } from './harness.ts';

/** The progress, log and complete frames of a recorded control pipe. */
function framesOf(name: string): Frame[] {
  return capture(name)
    .split('\n')
    .flatMap((line): Frame[] => {
      const progress = /progress ctx=(\S+) "(.*)" done=(\d+) total=(\d+)$/.exec(line);
      if (progress !== null) {
        const [, context = '', what = '', done, total] = progress;
        return [{ type: 'progress', context, what, done: Number(done), total: Number(total) }];
      }
      const log = /log level=(\d+) errno=(-?\d+) ctx=(\S+) (.*)$/.exec(line);
      if (log !== null) return [{ type: 'log', level: Number(log[1]), errno: Number(log[2]), context: log[3] ?? '', text: log[4] ?? '' }];
      const complete = /complete retval=(-?\d+) errno=(-?\d+)$/.exec(line);
      return complete === null ? [] : [{ type: 'complete', result: Number(complete[1]), errno: Number(complete[2]) }];
    });
}

function eventsOf(frames: readonly Frame[]): Event[] {
  const events: Event[] = [];
  let phase = PHASE_INITIAL;
  for (const frame of frames) {
    const [next, event] = eventOf(phase, frame);
    phase = next;
    if (event !== undefined) events.push(event);
  }
  return events;
}

describe('recorded migrations', () => {
  it('02-migrate-tap-helper.log.gz: five rounds, then the rest', () => {
    const events = eventsOf(framesOf('02-migrate-tap-helper.log.gz'));
    const starts = events.filter((event) => event.type === 'round-start');
    expect(starts.map((event) => [event.round, event.pagesToSend])).toEqual([
      [0, 1044480],
      [1, 8390],
      [2, 6336],
      [3, 4782],
      [4, 3989],
    ]);
    const final = events.filter((event) => event.type === 'stop-and-copy');
    expect(final.at(-1)?.pagesToSend).toBe(3592);
    expect(events.at(-1)).toMatchObject({ type: 'complete', result: 0 });
    expect(events.findIndex((event) => event.type === 'suspended')).toBe(events.indexOf(final[0] as Event) - 1);
  });

  it('06-abort-helper-term-tap.txt: the errors of an aborted save, and no suspension', () => {
    const events = eventsOf(framesOf('06-abort-helper-term-tap.txt'));
    expect(events.map((event) => event.type)).toEqual(['log', 'log', 'complete']);
    expect(events.at(-1)).toMatchObject({ result: -1, errno: 9 });
  });

  it.each(['07-peek-null.helper.txt', '07-peek-pv-shadow.helper.txt'])('%s: progress never goes back within a round', (name) => {
    const events = eventsOf(framesOf(name));
    expect(events.some((event) => event.type === 'progress')).toBe(true);
    let last = { round: -1, sent: 0 };
    for (const event of events) {
      if (event.type === 'round-start') last = { round: event.round, sent: 0 };
      if (event.type !== 'progress') continue;
      expect(event.round).toBe(last.round);
      expect(event.pagesSent).toBeGreaterThanOrEqual(last.sent);
      last = { round: event.round, sent: event.pagesSent };
    }
  });
});

describe('any sequence of frames', () => {
  const what = fc.oneof(
    fc.nat(9).map((round) => `Frames iteration ${round}`),
    fc.constantFrom('Domain now suspended', 'Start of stream', 'Complete', 'Frames iteration', 'Frames iteration 1 of 9', 'Frames verify'),
    fc.string(),
  );
  const progress = fc.record({
    type: fc.constant('progress' as const),
    context: fc.constant('xc'),
    what,
    done: fc.nat(10_000),
    total: fc.nat(10_000),
  });

  it('starts a round before its progress, and has no live round after the suspension', () => {
    fc.assert(
      fc.property(fc.array(progress, { maxLength: 40 }), (frames) => {
        let round = -1;
        let suspended = false;
        for (const event of eventsOf(frames)) {
          if (event.type === 'suspended') suspended = true;
          if (event.type === 'round-start') round = event.round;
          if (event.type === 'progress') expect(event.round).toBe(round);
          if (event.type === 'progress' || event.type === 'round-start') expect(suspended).toBe(false);
          if (event.type === 'stop-and-copy') expect(suspended).toBe(true);
        }
      }),
    );
  });
});
