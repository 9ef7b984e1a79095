/** Longest pause between two reads of the control pipe. */
const PAUSE_MS_MAX = 50;
/** Shorter ones are not worth a timer. */
const PAUSE_MS_MIN = 4;
/** Share of a round's remaining time that may pass unread, so that its end is read when it comes. */
const SHARE = 1 / 4;

/**
 * How long the control pipe may be left alone inside a live round, in ms (0…50). The helper reports every 1024 frames, over a p2m's
 * absent ones as fast as it can count; each report read on its own wakes a process on dom0's CPUs, which the helper needs.
 */
export function pauseFor(pagesSent: number, pagesToSend: number, elapsedMs: number): number {
  if (pagesSent <= 0 || pagesSent >= pagesToSend || elapsedMs <= 0) return 0;
  const remainingMs = (elapsedMs * (pagesToSend - pagesSent)) / pagesSent;
  const pauseMs = Math.min(PAUSE_MS_MAX, remainingMs * SHARE);
  return pauseMs < PAUSE_MS_MIN ? 0 : pauseMs;
}
