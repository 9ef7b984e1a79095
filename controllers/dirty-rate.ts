import type { RoundTrack, Track } from '../src/core/index.ts';

/** Rounds shorter than this say nothing about a rate: the guest may have been parked throughout. */
const SPAN_MS_MIN = 30;

/** A finished round: what it sent, what was dirtied in it, and how fast. */
export interface FinishedRound {
  readonly round: number;
  readonly pagesToSend: number;
  readonly pagesDirtied: number;
  readonly spanMs: number;
  /** New pages per second, at the speed the guest had. */
  readonly dirtyRate: number;
}

/** The round that ended last; undefined before there is one long enough to say anything. */
export function lastFinished(track: Track): FinishedRound | undefined {
  const round = track.rounds.findLast((r) => r.endedAtMs !== undefined && r.pagesDirtied !== undefined);
  return round === undefined ? undefined : finished(round);
}

function finished(round: RoundTrack): FinishedRound | undefined {
  const spanMs = (round.endedAtMs ?? 0) - round.startedAtMs;
  if (spanMs < SPAN_MS_MIN || round.pagesDirtied === undefined) return undefined;
  const { pagesToSend, pagesDirtied } = round;
  return { round: round.round, pagesToSend, pagesDirtied, spanMs, dirtyRate: (pagesDirtied / spanMs) * 1000 };
}
