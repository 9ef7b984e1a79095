import { type Cap, capPercent } from '../core/cap.ts';
import type { Decision, Forecast } from '../core/decision.ts';
import { pagesThatFit } from '../core/downtime.ts';
import { fullDirtyRate } from '../core/gate.ts';
import type { Observation } from '../core/observation.ts';
import type { MigrationRecord, StartRecord, SummaryRecord } from '../core/record.ts';
import { stallOf } from '../core/stall.ts';
import { currentRound, initialTrack, observe, type Track } from '../core/track.ts';
import { safeText } from './text.ts';
import { changesSomething } from './words.ts';

/** One place of the chart: the dirty set, and what of it would fit the target. */
export interface ChartPoint {
  readonly atMs: number;
  readonly dirtyPages: number;
  readonly fitPages: number | undefined;
}

/** One migration as the live view shows it. Readonly. */
export interface LiveMigration {
  readonly start: StartRecord;
  /** Safe for a terminal. */
  readonly domain: string;
  readonly track: Track;
  readonly chart: readonly ChartPoint[];
  /** Time covered by one chart point. */
  readonly chartStepMs: number;
  readonly fitPages?: number;
  readonly forecast?: Forecast;
  /** The last decision that changed something, else the last hold. */
  readonly decision?: { readonly atMs: number; readonly decision: Decision };
  readonly trouble?: string;
  readonly summary?: SummaryRecord;
}

export interface LiveModel {
  /** In the order they came. */
  readonly migrations: readonly LiveMigration[];
  readonly notes: readonly { readonly level: 'info' | 'warning' | 'error'; readonly text: string }[];
}

export const initialLive: LiveModel = { migrations: [], notes: [] };

const CHART_POINTS_MAX = 400;
const CHART_STEP_MS = 50;
/** Ended migrations stay in sight until so many later ones have ended. */
const ENDED_KEPT = 8;
const NOTES_KEPT = 5;

/** Folds one record of any migration. */
export function foldLive(model: LiveModel, record: MigrationRecord): LiveModel {
  if (record.type === 'start') {
    const others = model.migrations.filter(({ start }) => start.id !== record.id);
    return { ...model, migrations: [...forgetOld(others), begin(record)] };
  }
  const index = model.migrations.findLastIndex(({ start }) => start.id === record.id);
  const before = model.migrations[index];
  const noted =
    record.type === 'note' ? addNote(model, record.level, before === undefined ? record.text : `${before.domain}: ${record.text}`) : model;
  return before === undefined ? noted : { ...noted, migrations: noted.migrations.with(index, follow(before, record)) };
}

/** A note that belongs to no migration. */
export const addNote = (model: LiveModel, level: 'info' | 'warning' | 'error', text: string): LiveModel => ({
  ...model,
  notes: [...model.notes, { level, text: safeText(text) }].slice(-NOTES_KEPT),
});

const begin = (start: StartRecord): LiveMigration => ({
  start,
  domain: safeText(start.goal.domain.name),
  track: initialTrack(start.goal),
  chart: [],
  chartStepMs: CHART_STEP_MS,
});

function forgetOld(migrations: readonly LiveMigration[]): readonly LiveMigration[] {
  let ended = migrations.filter(({ summary }) => summary !== undefined).length;
  return migrations.filter(({ summary }) => {
    if (summary === undefined || ended < ENDED_KEPT) return true;
    ended -= 1;
    return false;
  });
}

function follow(before: LiveMigration, record: MigrationRecord): LiveMigration {
  switch (record.type) {
    case 'observation':
      return observed(before, record.observation);
    case 'decision':
      return decided(before, record.decision);
    case 'effect':
      return record.result === 'failed'
        ? { ...before, trouble: safeText(`${record.action} failed: ${record.error ?? 'no reason given'}`) }
        : before;
    case 'summary':
      return { ...before, summary: record };
    default:
      return before;
  }
}

function decided(before: LiveMigration, decision: Decision): LiveMigration {
  const atMs = before.track.atMs - before.track.startedAtMs;
  const shown = before.decision;
  const keep = shown !== undefined && changesSomething(shown.decision) && !changesSomething(decision);
  return {
    ...before,
    ...(decision.forecast === undefined ? {} : { forecast: decision.forecast }),
    ...(keep ? {} : { decision: { atMs, decision } }),
  };
}

function observed(before: LiveMigration, observation: Observation): LiveMigration {
  const { goal } = before.start;
  const track = observe(before.track, observation, goal);
  const rate = track.transferRate;
  const fit = rate === undefined ? undefined : pagesThatFit(goal.targetDowntimeMs, fullDirtyRate(track).value, rate.value, goal);
  const fitPages = fit === undefined ? undefined : Math.min(fit, goal.maxDirtyPages ?? fit);
  const next: LiveMigration = { ...before, track, ...(fitPages === undefined ? {} : { fitPages }) };
  const dirtyPages = dirtySeen(observation, track);
  return dirtyPages === undefined ? next : charted(next, { atMs: track.atMs - track.startedAtMs, dirtyPages, fitPages });
}

function dirtySeen(observation: Observation, track: Track): number | undefined {
  if (observation.type === 'round-start') return track.rounds.at(-2)?.pagesDirtied;
  if (observation.type === 'sample' || observation.type === 'suspend-request') return currentRound(track)?.pagesDirtied;
  return observation.type === 'stop-and-copy' ? observation.pagesToSend : undefined;
}

/** Points closer than a step become one, the higher; when there are too many, every two become one. */
function charted(before: LiveMigration, point: ChartPoint): LiveMigration {
  const last = before.chart.at(-1);
  if (last !== undefined && point.atMs - last.atMs < before.chartStepMs) {
    return {
      ...before,
      chart: before.chart.with(-1, { ...point, atMs: last.atMs, dirtyPages: Math.max(last.dirtyPages, point.dirtyPages) }),
    };
  }
  const chart = [...before.chart, point];
  if (chart.length <= CHART_POINTS_MAX) return { ...before, chart };
  const halved = chart.flatMap((p, i) =>
    i % 2 === 1 ? [] : [{ ...p, dirtyPages: Math.max(p.dirtyPages, chart[i + 1]?.dirtyPages ?? 0) }],
  );
  return { ...before, chart: halved, chartStepMs: before.chartStepMs * 2 };
}

/** Longest stall that a cap may cause this domain; 0 for its own cap. */
export function stallUnder(cap: Cap, { goal }: StartRecord): number {
  const percent = capPercent(cap, goal.domain.vcpus);
  if (percent >= goal.capCeilingPercent) return 0;
  return stallOf(percent, goal.domain.activeVcpus, goal.capabilities.scheduler, goal.capabilities.tsliceMs);
}
