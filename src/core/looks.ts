import { type Ms, ms } from './units.ts';

/** In a long round so often: a look pauses the domain for the length of the call. */
const LOOK_MS = 100;
/** Never more often. */
const LOOK_MS_MIN = 20;
/** Looks into a short round: what is left to decide in it is when to let the guest go. */
const LOOKS_PER_ROUND = 12;

/**
 * Time from now until the next look at the dirty count, `inRoundMs` after the round's start (0: none was made yet), in a round that is
 * expected to take `roundMs`. Looks begin close together and grow apart (20, 40, 80, 160 ms, then evenly): the dirty curve is steepest where
 * the log is empty, and the short rounds at the end are planned with what it is there.
 */
export function nextLook(inRoundMs: number, roundMs: number): Ms {
  const even = Math.min(LOOK_MS, Math.max(LOOK_MS_MIN, roundMs / LOOKS_PER_ROUND));
  return ms(Math.min(even, Math.max(LOOK_MS_MIN, inRoundMs)));
}
