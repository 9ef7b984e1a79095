import type { Pages } from '../../core/units.ts';
import { type Frame, LOG_WARNING } from './frames.ts';
import type { RelayMessage } from './protocol.ts';

type Untimed<T> = T extends unknown ? Omit<T, 'atMs' | 'bytesSent'> : never;
/** A message before the relay puts the time and the bytes on it. */
export type Event = Untimed<RelayMessage>;

/** Where the save is, as its frames say. Round −1: none has begun. */
export interface Phase {
  readonly round: number;
  readonly suspended: boolean;
}

export const PHASE_INITIAL: Phase = { round: -1, suspended: false };

const ROUND = /^Frames iteration (\d{1,9})$/;
const SUSPENDED = 'Domain now suspended';

const pages = (value: number): Pages => value as Pages;

/** What one frame means. Frames of an "iteration" after the suspension are the stop-and-copy. The suspend frame itself is the gate's. */
export function eventOf(phase: Phase, frame: Frame): readonly [Phase, Event | undefined] {
  if (frame.type === 'complete') return [phase, { type: 'complete', result: frame.result, errno: frame.errno }];
  if (frame.type === 'log') {
    return [phase, frame.level < LOG_WARNING ? undefined : { type: 'log', level: frame.level, context: frame.context, text: frame.text }];
  }
  if (frame.type !== 'progress') return [phase, undefined];
  if (frame.what === SUSPENDED) return [{ ...phase, suspended: true }, { type: 'suspended' }];
  const match = ROUND.exec(frame.what);
  if (match === null) return [phase, undefined];
  const round = Number(match[1]);
  const pagesSent = pages(frame.done);
  const pagesToSend = pages(frame.total);
  if (phase.suspended) return [phase, { type: 'stop-and-copy', pagesSent, pagesToSend }];
  if (round === phase.round) return [phase, { type: 'progress', round, pagesSent, pagesToSend }];
  return [
    { ...phase, round },
    { type: 'round-start', round, pagesToSend },
  ];
}
