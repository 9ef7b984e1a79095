import { type Cap, sameCap } from './cap.ts';
import { between, type Estimate } from './estimate.ts';
import type { Goal } from './goal.ts';
import type { Observation } from './observation.ts';
import { type Bytes, type BytesPerSecond, bytes, bytesPerSecond, type Ms, ms, type Pages, pages, WIRE_BYTES_PER_PAGE } from './units.ts';

/** One pre-copy round as seen so far. */
export interface RoundTrack {
  readonly round: number;
  readonly startedAtMs: Ms;
  readonly endedAtMs?: Ms;
  /** What the round sends, at most the domain's populated pages. */
  readonly pagesToSend: Pages;
  readonly pagesSent: Pages;
  readonly bytesAtStart: Bytes;
  readonly capAtStart: Cap;
  /** Unique pages dirtied in it: the latest look during the round, the next round's count once it is over. */
  readonly pagesDirtied?: Pages;
  readonly cpuAtStartMs?: Ms;
  readonly cpuLatestMs?: Ms;
}

/** All that the observations so far say, without any model of the guest. */
export interface Track {
  readonly startedAtMs: Ms;
  readonly atMs: Ms;
  readonly bytesSent: Bytes;
  /** The cap in force as far as we know. */
  readonly cap: Cap;
  /** False once somebody else changed the cap: theirs wins. */
  readonly steering: boolean;
  readonly rounds: readonly RoundTrack[];
  readonly transferRate?: Estimate<BytesPerSecond>;
  /** Mean relative error of the rate's own predictions of the next reading, and of as long as a stop-and-copy takes where that is longer. */
  readonly rateError?: number;
  readonly rateSpan?: RateSpan;
  readonly rateShort?: ShortRate;
  readonly rateLong?: LongRate;
  readonly rateWindow?: RateWindow;
  /** The last look at how long any vCPU had been waiting for the CPU at most. */
  readonly standing?: { readonly atMs: Ms; readonly atMostMs: Ms };
  readonly suspendRequestedAtMs?: Ms;
  readonly suspendedAtMs?: Ms;
}

/** The rate of the last moments, bytes/s, and the mean relative error of taking it for the next reading. */
interface ShortRate {
  readonly mean: number;
  readonly error: number;
}

/** The rate over a longer time, bytes/s, the same error of it, and the readings' mean deviation (a share): what a transient goes back to. */
interface LongRate extends ShortRate {
  readonly deviation: number;
  readonly overMs: number;
}

/** What was sent since `predicted`, the rate then, bytes/s, and the mean relative error of such predictions. */
interface RateSpan {
  readonly predicted: number;
  readonly busyMs: number;
  readonly bytes: number;
  readonly error: number;
}

/** What was sent since the last reading of the rate, without the pauses between rounds: short rounds add up to one reading. */
interface RateWindow {
  readonly markMs: Ms;
  readonly markBytes: Bytes;
  readonly markFrames: number;
  readonly busyMs: number;
  readonly bytes: number;
  readonly frames: number;
}

/** Rounds kept; a migration under our own policy may have hundreds. */
const ROUNDS_KEPT = 64;
/** A rate is read over at least so long, else socket buffers and bursts are all it shows. */
const READING_MS = 200;
/** Memory of the moving average of the rate: a link's rate a second ago says little about the next 200 ms. */
const RATE_MEMORY_MS = 600;
/** The spread is the mean error of the last predictions, remembered longer than the rate itself. */
const SPREAD_MEMORY_MS = 2500;
/**
 * What a prediction is for takes about this share of the target, the stop-and-copy: over so long (at most a second) the stalls and bursts of a
 * link with buffers even out.
 */
const SPAN_OF_TARGET = 0.5;
const SPAN_MS_MAX = 1000;
/** The long-run rate is that of the last seconds: many times as long as a deviation lasts, and short enough to follow a link that changed. */
const RATE_LONG_MS = 12_000;
/** Deviations from the long-run rate are forgotten with this time constant. */
const RATE_REVERTS_MS = 2500;
/** The range is so many mean errors wide each way (1.25 mean errors are one standard deviation: 5 to 95 %), and at least 1.5 %. */
const ERRORS_WIDE = 2.1;
const SPREAD_MIN = 0.015;
/** One window counts as an error of at most so many mean ones, and this: a burst that a buffer took at once, or kept back, is not another link. */
const OUTLIER = 2;
const OUTLIER_MIN = 0.05;
/** Assumed while there is one reading only. */
const SPREAD_FIRST = 0.08;
/** A window counts if at least this share of its frames was really sent; round 0 walks absent frames too, which takes time and no bytes. */
const DENSE = 0.9;

export const initialTrack = (goal: Goal): Track => ({
  startedAtMs: ms(0),
  atMs: ms(0),
  bytesSent: bytes(0),
  cap: goal.domain.capOriginal,
  steering: goal.capabilities.actuator,
  rounds: [],
});

export const currentRound = (track: Track): RoundTrack | undefined => track.rounds.at(-1);

/** Folds one observation into the track. */
export function observe(track: Track, observation: Observation, goal: Goal): Track {
  const first = track.rounds.length === 0 && track.startedAtMs === 0;
  const base: Track = {
    ...track,
    atMs: observation.atMs,
    ...(first ? { startedAtMs: observation.atMs } : {}),
    ...('standingMs' in observation && observation.standingMs !== undefined
      ? { standing: { atMs: observation.atMs, atMostMs: observation.standingMs } }
      : {}),
  };
  const sent = 'bytesSent' in observation && observation.bytesSent !== undefined ? observation.bytesSent : base.bytesSent;
  switch (observation.type) {
    case 'round-start': {
      const rounds = closeRound(base.rounds, observation.atMs, observation.round === 0 ? undefined : observation.pagesToSend);
      const pagesToSend = pages(Math.min(observation.pagesToSend, goal.domain.populatedPages));
      const cpu = base.rounds.at(-1)?.cpuLatestMs;
      const next: RoundTrack = {
        round: observation.round,
        startedAtMs: observation.atMs,
        pagesToSend,
        pagesSent: pages(0),
        bytesAtStart: sent,
        capAtStart: base.cap,
        ...(cpu === undefined ? {} : { cpuAtStartMs: cpu, cpuLatestMs: cpu }),
      };
      return {
        ...base,
        bytesSent: sent,
        rounds: [...rounds, next].slice(-ROUNDS_KEPT),
        rateWindow: {
          busyMs: 0,
          bytes: 0,
          frames: 0,
          ...base.rateWindow,
          markMs: observation.atMs,
          markBytes: sent,
          markFrames: 0,
        },
      };
    }
    case 'progress':
      return rated(
        { ...base, bytesSent: sent, rounds: patchRound(base.rounds, { pagesSent: observation.pagesSent }) },
        observation.pagesSent,
        goal,
      );
    case 'sample': {
      const dirtied = observation.dirtyPages;
      const cpu = observation.cpuTimeMs;
      return {
        ...base,
        bytesSent: sent,
        rounds: patchRound(base.rounds, {
          ...(dirtied === undefined ? {} : { pagesDirtied: pages(Math.min(dirtied, goal.domain.populatedPages)) }),
          ...(cpu === undefined ? {} : { cpuLatestMs: cpu, cpuAtStartMs: currentRound(base)?.cpuAtStartMs ?? cpu }),
        }),
      };
    }
    case 'policy-query': {
      // Asked after a round, a peek says what the next one would send; before it, the count is the round's own.
      const looked = observation.when === 'after' ? observation.dirtyPages : undefined;
      const dirtied = looked === undefined ? {} : { pagesDirtied: pages(Math.min(looked, goal.domain.populatedPages)) };
      return { ...base, bytesSent: sent, rounds: patchRound(base.rounds, dirtied) };
    }
    case 'suspend-request': {
      const dirtied =
        observation.dirtyPages === undefined ? undefined : pages(Math.min(observation.dirtyPages, goal.domain.populatedPages));
      return {
        ...base,
        bytesSent: sent,
        suspendRequestedAtMs: observation.atMs,
        rounds: closeRound(base.rounds, observation.atMs, dirtied),
      };
    }
    case 'suspended':
      return { ...base, bytesSent: sent, suspendedAtMs: observation.atMs };
    case 'cap-changed':
      return { ...base, cap: observation.cap, steering: base.steering && (observation.by === 'us' || sameCap(observation.cap, base.cap)) };
    default:
      return { ...base, bytesSent: sent };
  }
}

function patchRound(rounds: readonly RoundTrack[], patch: Partial<RoundTrack>): readonly RoundTrack[] {
  const last = rounds.at(-1);
  return last === undefined ? rounds : [...rounds.slice(0, -1), { ...last, ...patch }];
}

function closeRound(rounds: readonly RoundTrack[], atMs: Ms, dirtied: Pages | undefined): readonly RoundTrack[] {
  return patchRound(rounds, { endedAtMs: atMs, ...(dirtied === undefined ? {} : { pagesDirtied: dirtied }) });
}

function rated(track: Track, framesSent: number, goal: Goal): Track {
  const mark = track.rateWindow;
  if (mark === undefined) return track;
  const window: RateWindow = {
    markMs: track.atMs,
    markBytes: track.bytesSent,
    markFrames: framesSent,
    busyMs: mark.busyMs + track.atMs - mark.markMs,
    bytes: mark.bytes + track.bytesSent - mark.markBytes,
    frames: mark.frames + framesSent - mark.markFrames,
  };
  if (window.busyMs < READING_MS) return { ...track, rateWindow: window };
  const next: Track = { ...track, rateWindow: { ...window, busyMs: 0, bytes: 0, frames: 0 } };
  if (window.bytes <= 0 || window.bytes < DENSE * window.frames * WIRE_BYTES_PER_PAGE) return next;
  const rate = (window.bytes / window.busyMs) * 1000;
  const { transferRate: old, rateShort: short, rateLong: long } = track;
  if (old === undefined || track.rateError === undefined || short === undefined || long === undefined) {
    const first = { mean: rate, error: SPREAD_FIRST };
    const rateLong = { ...first, deviation: SPREAD_FIRST, overMs: window.busyMs };
    return withRate({ ...next, rateShort: first, rateLong, rateError: SPREAD_FIRST }, rate);
  }
  const weight = 1 - Math.exp(-window.busyMs / RATE_MEMORY_MS);
  const learnt = (error: number, value: number): number => learntError(error, missed(rate, value), window.busyMs);
  // Which of the two is the better one is to be seen at once, outlier or not.
  const plainly = ({ mean, error }: ShortRate): number => error + spreadWeight(window.busyMs) * (missed(rate, mean) - error);
  const rateShort = { mean: short.mean + weight * (rate - short.mean), error: plainly(short) };
  const rateLong = { ...longer(long, rate, window.busyMs), error: plainly(long) };
  const value = better(rateShort, rateLong);
  const spanMs = Math.min(SPAN_MS_MAX, SPAN_OF_TARGET * goal.targetDowntimeMs);
  const span = spanMs > READING_MS ? { rateSpan: spanned(track, window, value, spanMs) } : {};
  return withRate({ ...next, rateShort, rateLong, ...span, rateError: learnt(track.rateError, old.value) }, value);
}

const missed = (seen: number, predicted: number): number => Math.abs(seen - predicted) / predicted;

const spreadWeight = (busyMs: number): number => 1 - Math.exp(-Math.min(busyMs, RATE_MEMORY_MS) / SPREAD_MEMORY_MS);

function learntError(error: number, missedBy: number, busyMs: number): number {
  return error + spreadWeight(busyMs) * (Math.min(missedBy, OUTLIER * error + OUTLIER_MIN) - error);
}

/** Adds a reading to the span under way; at its end it is compared with what was predicted, and the next one begins. */
function spanned(track: Track, { busyMs, bytes }: RateWindow, value: number, spanMs: number): RateSpan {
  const begun = { predicted: value, busyMs: 0, bytes: 0 };
  const { rateSpan: span } = track;
  if (span === undefined) return { ...begun, error: track.rateError ?? SPREAD_FIRST };
  const sum = { ...span, busyMs: span.busyMs + busyMs, bytes: span.bytes + bytes };
  if (sum.busyMs < spanMs) return sum;
  return { ...begun, error: learntError(span.error, missed((sum.bytes / sum.busyMs) * 1000, span.predicted), sum.busyMs) };
}

/** How sharply the better of the two is preferred: the ratio of their errors to this power, nearly a switch. */
const PREFERENCE = 8;
/** The long run has to be better than the last moments by this factor: a link that changes is the greater danger. */
const LONG_BETTER = 0.85;

/** The one that told the next reading better lately: a link that sags is as it is now, one with buffers as it is on average. */
function better(short: ShortRate, long: LongRate): number {
  if (long.overMs < RATE_REVERTS_MS) return short.mean;
  const share = 1 / (1 + ((LONG_BETTER * short.error) / Math.max(1e-9, long.error)) ** PREFERENCE);
  return long.mean + share * (short.mean - long.mean);
}

/** The long-run rate: the plain mean at first, then one that forgets. */
function longer(long: LongRate, rate: number, busyMs: number): Omit<LongRate, 'error'> {
  const overMs = long.overMs + busyMs;
  const weight = busyMs / Math.min(overMs, RATE_LONG_MS);
  const mean = long.mean + Math.min(1, weight) * (rate - long.mean);
  const deviation = long.deviation + Math.min(1, weight) * (Math.abs(rate - mean) / mean - long.deviation);
  return { mean, deviation, overMs };
}

/**
 * The rate to expect `aheadMs` from now: what is seen now goes back to the long-run rate, and the range with it. With no more than a few
 * seconds seen it is the rate as seen now.
 */
export function rateAhead(track: Track, aheadMs: number): Estimate<BytesPerSecond> | undefined {
  const { transferRate: now, rateLong: long } = track;
  if (now === undefined || long === undefined || long.overMs < RATE_REVERTS_MS) return now;
  const stays = Math.exp(-Math.max(0, aheadMs) / RATE_REVERTS_MS);
  const value = long.mean + stays * (now.value - long.mean);
  const spreadNow = (now.high - now.low) / 2 / now.value;
  const spread = Math.min(0.7, Math.max(SPREAD_MIN, stays * spreadNow + (1 - stays) * ERRORS_WIDE * long.deviation));
  return between(bytesPerSecond(value * (1 - spread)), bytesPerSecond(value), bytesPerSecond(value * (1 + spread)));
}

/** The range is that of the errors, and holds what the last moments say where the long run is believed. */
function withRate(track: Track, value: number): Track {
  const error = track.rateSpan?.error ?? track.rateError ?? SPREAD_FIRST;
  const apart = missed(track.rateShort?.mean ?? value, value);
  const spread = Math.min(0.7, Math.max(SPREAD_MIN, ERRORS_WIDE * error, apart));
  const rate = between(bytesPerSecond(value * (1 - spread)), bytesPerSecond(value), bytesPerSecond(value * (1 + spread)));
  return { ...track, transferRate: rate };
}
