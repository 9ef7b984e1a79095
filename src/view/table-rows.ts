import { showCap } from '../core/cap.ts';
import type { Decision } from '../core/decision.ts';
import type { Goal } from '../core/goal.ts';
import type { Observation } from '../core/observation.ts';
import type { MigrationRecord } from '../core/record.ts';
import { currentRound, initialTrack, observe, type RoundTrack, type Track } from '../core/track.ts';
import { PAGE_BYTES } from '../core/units.ts';
import { showBytesRate, showCount, showMs, showNarrow, showPagesBytes } from './human.ts';
import type { Row, Tone } from './table-row.ts';
import { safeText } from './text.ts';
import { changesSomething, showAction } from './words.ts';

/** One migration's place in the table. Readonly. */
export interface Followed {
  readonly domain: string;
  readonly goal: Goal;
  readonly track: Track;
  readonly observeOnly: boolean;
  /** The observation whose decision has not come yet. */
  readonly pending?: Observation;
}

/** The state after a migration's start record; undefined for any other: records without a start cannot be shown as a table. */
export const follow = (record: MigrationRecord): Followed | undefined =>
  record.type === 'start'
    ? { domain: safeText(record.goal.domain.name), goal: record.goal, track: initialTrack(record.goal), observeOnly: record.observe }
    : undefined;

/** Folds a record of that migration: a row per round, and per decision or event that changes something. Notes and the summary are not rows. */
export function tableRows(before: Followed, record: MigrationRecord): readonly [Followed, readonly Row[]] {
  switch (record.type) {
    case 'observation': {
      const late = before.pending === undefined ? [] : roundRows(before, before.pending, undefined);
      const { observation } = record;
      const track = observe(before.track, observation, before.goal);
      const next: Followed = { ...before, track, pending: observation };
      return [next, [...late, ...eventRows(next, observation)]];
    }
    case 'decision': {
      const { pending, ...rest } = before;
      if (pending?.type === 'round-start') return [rest, roundRows(before, pending, record.decision)];
      return [rest, changesSomething(record.decision) ? [decisionRow(before, record.decision)] : []];
    }
    case 'effect':
      return [before, record.result === 'failed' ? [failedRow(before, record.action, record.error)] : []];
    default:
      return [before, []];
  }
}

function roundRows(at: Followed, observation: Observation, decision: Decision | undefined): readonly Row[] {
  if (observation.type !== 'round-start') return [];
  const round = currentRound(at.track);
  const sent = round?.pagesToSend;
  return [
    {
      ...base(at, decision),
      cells: {
        ...cells(at, decision),
        round: String(observation.round),
        pages: showCount(sent),
        size: showPagesBytes(sent),
        dirty: showBytesRate(dirtyRate(at.track.rounds.at(-2), at.track)),
      },
    },
  ];
}

function decisionRow(at: Followed, decision: Decision): Row {
  const round = currentRound(at.track);
  const left = at.track.suspendRequestedAtMs === undefined ? undefined : round?.pagesDirtied;
  return {
    ...base(at, decision),
    cells: {
      ...cells(at, decision),
      round: round === undefined ? '' : String(round.round),
      ...(left === undefined ? {} : { pages: showCount(left), size: showPagesBytes(left) }),
      dirty: showBytesRate(dirtyRate(round, at.track)),
    },
  };
}

function eventRows(at: Followed, observation: Observation): readonly Row[] {
  const row = (event: string, why: string, tone: Tone, more: Row['cells'] = {}): readonly Row[] => [
    { domain: at.domain, cells: { time: showTime(at), cap: showCap(at.track.cap), ...more }, event, why, tone },
  ];
  switch (observation.type) {
    case 'suspended': {
      const asked = at.track.suspendRequestedAtMs;
      return row('guest suspended', asked === undefined ? '' : `${showMs(observation.atMs - asked)} after the request`, 'plain');
    }
    case 'stop-and-copy': {
      const left = observation.pagesToSend;
      return row('last pages', 'sent while the guest stands', 'plain', { pages: showCount(left), size: showPagesBytes(left) });
    }
    case 'complete':
      return row('sent', 'the save helper has sent everything', 'plain');
    case 'cap-changed':
      if (observation.by === 'us') return [];
      return row(`cap changed to ${showCap(observation.cap)}`, 'by somebody else: theirs stays', 'bad');
    default:
      return [];
  }
}

const failedRow = (at: Followed, action: string, error: string | undefined): Row => ({
  domain: at.domain,
  cells: { time: showTime(at), cap: showCap(at.track.cap) },
  event: `${action} failed`,
  why: safeText(error ?? ''),
  tone: 'bad',
});

function base(at: Followed, decision: Decision | undefined): Omit<Row, 'cells'> {
  if (decision === undefined) return { domain: at.domain };
  const would = at.observeOnly && changesSomething(decision) ? 'would: ' : '';
  return { domain: at.domain, event: would + showAction(decision), why: safeText(decision.reason.text), tone: toneOf(decision) };
}

const cells = (at: Followed, decision: Decision | undefined): Row['cells'] => ({
  time: showTime(at),
  sent: showBytesRate(at.track.transferRate?.value),
  cap: showCap(at.track.cap),
  downtime: showNarrow(decision?.forecast?.downtimeMs),
  eta: showNarrow(decision?.forecast?.etaMs),
});

const showTime = (at: Followed): string => showMs(Math.max(0, at.track.atMs - at.track.startedAtMs));

/** Bytes of new pages per second in a round; undefined without a count or a duration. */
function dirtyRate(round: RoundTrack | undefined, track: Track): number | undefined {
  if (round?.pagesDirtied === undefined) return undefined;
  const span = (round.endedAtMs ?? track.atMs) - round.startedAtMs;
  return span > 0 ? (round.pagesDirtied * PAGE_BYTES * 1000) / span : undefined;
}

function toneOf(decision: Decision): Tone {
  switch (decision.action) {
    case 'hold':
      return 'faint';
    case 'grant':
      return 'good';
    case 'deny':
    case 'abort':
      return 'bad';
    default:
      return 'act';
  }
}
