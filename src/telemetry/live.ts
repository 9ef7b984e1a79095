import type { Decision, Forecast } from '../core/decision.ts';
import type { Observation } from '../core/observation.ts';
import type { StartRecord, SummaryRecord } from '../core/record.ts';
import { initialTally, type Tally, tally } from '../core/summary.ts';
import { initialTrack, observe, type Track } from '../core/track.ts';
import type { Ms } from '../core/units.ts';

/** One migration as its records tell it. Folded as records come, so that a scrape only reads. */
export interface LiveMigration {
  readonly start: StartRecord;
  track: Track;
  tally: Tally;
  /** Observed, but its decision has not come yet. */
  pending: Observation | undefined;
  decision: Decision | undefined;
  forecast: Forecast | undefined;
  /** CPU the guest got lately, in pCPUs. */
  cpuUsed: number | undefined;
  cpuWindow: { readonly atMs: Ms; readonly cpuTimeMs: Ms } | undefined;
  /** A restore was counted from its own record: the summary says it again. */
  restoreCounted: boolean;
  summary: SummaryRecord | undefined;
}

export const liveMigration = (start: StartRecord): LiveMigration => ({
  start,
  track: initialTrack(start.goal),
  tally: initialTally(start.goal),
  pending: undefined,
  decision: undefined,
  forecast: undefined,
  cpuUsed: undefined,
  cpuWindow: undefined,
  restoreCounted: false,
  summary: undefined,
});

/** What grew since the last record: fleet-wide counters add it up. */
export interface Growth {
  readonly bytes: number;
  readonly throttledSeconds: number;
  readonly withheldSeconds: number;
  readonly rounds: number;
}

const CPU_WINDOW_MS = 200;

export function foldObservation(m: LiveMigration, observation: Observation): Growth {
  const before = m.pending === undefined ? NOTHING : foldDecision(m, undefined);
  m.track = observe(m.track, observation, m.start.goal);
  m.pending = observation;
  if ('cpuTimeMs' in observation && observation.cpuTimeMs !== undefined) foldCpu(m, observation.atMs, observation.cpuTimeMs);
  return before;
}

/** Closes the pending observation; without a decision of its own it counts as held. */
export function foldDecision(m: LiveMigration, decision: Decision | undefined): Growth {
  const observation = m.pending;
  if (decision !== undefined) {
    m.decision = decision;
    if (decision.forecast !== undefined) m.forecast = decision.forecast;
  }
  if (observation === undefined) return NOTHING;
  m.pending = undefined;
  const was = m.tally;
  m.tally = tally(was, observation, decision ?? HELD, m.start.goal);
  return {
    bytes: Math.max(0, m.tally.bytesSent - was.bytesSent),
    throttledSeconds: Math.max(0, m.tally.throttledMs - was.throttledMs) / 1000,
    withheldSeconds: Math.max(0, m.tally.lostCpuMs - was.lostCpuMs) / 1000,
    rounds: Math.max(0, m.tally.rounds - was.rounds),
  };
}

/** The summary has the last word; what it has beyond the records' sum is returned. */
export function foldSummary(m: LiveMigration, summary: SummaryRecord): Growth {
  const last = foldDecision(m, undefined);
  m.summary = summary;
  return {
    bytes: last.bytes + Math.max(0, summary.bytesSent - m.tally.bytesSent),
    throttledSeconds: last.throttledSeconds + Math.max(0, summary.throttledSeconds - m.tally.throttledMs / 1000),
    withheldSeconds: last.withheldSeconds + Math.max(0, summary.lostWorkSeconds - m.tally.lostCpuMs / 1000),
    rounds: last.rounds + Math.max(0, summary.rounds - m.tally.rounds),
  };
}

const NOTHING: Growth = { bytes: 0, throttledSeconds: 0, withheldSeconds: 0, rounds: 0 };
const HELD: Decision = { action: 'hold', reason: { code: 'unrecorded', text: '', numbers: {} } };

function foldCpu(m: LiveMigration, atMs: Ms, cpuTimeMs: Ms): void {
  const since = m.cpuWindow;
  if (since === undefined || cpuTimeMs < since.cpuTimeMs) {
    m.cpuWindow = { atMs, cpuTimeMs };
    return;
  }
  const elapsed = atMs - since.atMs;
  if (elapsed < CPU_WINDOW_MS) return;
  m.cpuUsed = (cpuTimeMs - since.cpuTimeMs) / elapsed;
  m.cpuWindow = { atMs, cpuTimeMs };
}
