import { capPercent, isLower, showCap } from '../core/cap.ts';
import { currentRound, type RoundTrack } from '../core/track.ts';
import { PAGE_BYTES } from '../core/units.ts';
import { bar } from './braille.ts';
import { showBytesRate, showCount, showMs, showNarrow, showPagesBytes, showRange } from './human.ts';
import { chartRows } from './live-chart.ts';
import { type LiveMigration, stallUnder } from './live-model.ts';
import type { Segment, Style } from './segments.ts';
import { columnsOf, filled, safeText } from './text.ts';
import { changesSomething, outcomeWords, showAction, showTarget } from './words.ts';

export type Line = readonly Segment[];

const BAR_COLUMNS_MAX = 32;
const LABEL_COLUMNS = 10;
/** Lines of a full block besides its chart. */
export const BLOCK_LINES = 7;

/** A running migration in full: head, bar of the round, dirty set, cap, downtime, chart, last decision. */
export function blockLines(m: LiveMigration, columns: number, chartHeight: number): readonly Line[] {
  const chart = chartHeight > 0 ? chartRows(m, columns, chartHeight) : [];
  return [headLine(m, columns), roundLine(m, columns), dirtyLine(m), capLine(m, columns), downtimeLine(m), ...chart, ...decisionLines(m)];
}

/** The same in three lines, for many migrations or a low terminal. */
export function compactLines(m: LiveMigration, columns: number): readonly Line[] {
  return [headLine(m, columns), roundLine(m, columns), [...label(''), ...shortFigures(m)]];
}

/** The same in one line. */
export function oneLine(m: LiveMigration, columns: number): Line {
  const name = filled(m.domain, Math.max(6, Math.min(20, Math.floor(columns / 4))));
  const { summary } = m;
  if (summary !== undefined) return [[name, 'bold'], '  ', ...endedFigures(m)];
  const round = currentRound(m.track);
  const drawn = bar(shareOf(round), 8);
  return [[name, 'bold'], ` r${round?.round ?? '-'} `, [drawn.full, 'accent'], [drawn.empty, 'dim'], '  ', ...shortFigures(m)];
}

const label = (text: string): Line => [[filled(` ${text}`, LABEL_COLUMNS), 'dim']];

function headLine(m: LiveMigration, columns: number): Line {
  const { goal, controller, destination, observe } = m.start;
  const to = destination === undefined ? '' : ` → ${safeText(destination)}`;
  const elapsed = showMs(m.track.atMs - m.track.startedAtMs);
  const target = goal.maxDirtyPages === undefined ? showMs(goal.targetDowntimeMs) : `${showCount(goal.maxDirtyPages)} pages`;
  const facts = `${safeText(controller)}${observe ? ', observe only' : ''}, target ${target}, ${elapsed}`;
  const left = m.domain + to;
  const blanks = Math.max(2, columns - columnsOf(left) - columnsOf(facts));
  return [[m.domain, 'bold'], to, ' '.repeat(blanks), [facts, 'dim']];
}

const shareOf = (round: RoundTrack | undefined): number =>
  round === undefined || round.pagesToSend <= 0 ? 0 : Math.min(1, round.pagesSent / round.pagesToSend);

function roundLine(m: LiveMigration, columns: number): Line {
  const round = currentRound(m.track);
  const phase = phaseOf(m);
  if (round === undefined) return [...label('round'), phase];
  const most = m.start.goal.capabilities.roundsMax;
  const text = `${round.round}${most === undefined ? '' : ` (0-${most - 1})`}`;
  const drawn = bar(
    m.track.suspendRequestedAtMs === undefined ? shareOf(round) : 1,
    Math.min(BAR_COLUMNS_MAX, Math.max(8, Math.floor(columns / 3))),
  );
  const percent = `${Math.floor(shareOf(round) * 100)} %`.padStart(5);
  const what = `of ${showPagesBytes(round.pagesToSend)} at ${showBytesRate(m.track.transferRate?.value)}`;
  const rest: Line = phase === '' ? [`${percent} ${what}`] : ['  ', [phase, 'act']];
  return [...label('round'), filled(text, 9), [drawn.full, 'accent'], [drawn.empty, 'dim'], ...rest];
}

function phaseOf(m: LiveMigration): string {
  if (m.track.suspendedAtMs !== undefined) return 'guest stands, the last pages are sent';
  if (m.track.suspendRequestedAtMs !== undefined) return 'suspend requested';
  return m.track.rounds.length === 0 ? 'begins' : '';
}

function dirtyLine(m: LiveMigration): Line {
  const round = currentRound(m.track);
  const counted = round?.pagesDirtied === undefined ? m.track.rounds.at(-2) : round;
  if (counted?.pagesDirtied === undefined) return [...label('dirty'), ['not known before the first round has ended', 'dim']];
  const span = (counted.endedAtMs ?? m.track.atMs) - counted.startedAtMs;
  const rate = span > 0 ? (counted.pagesDirtied * PAGE_BYTES * 1000) / span : undefined;
  const when = counted === round ? '' : ` in round ${counted.round}`;
  const said = `${showCount(counted.pagesDirtied)} pages${when}, ${showPagesBytes(counted.pagesDirtied)} at ${showBytesRate(rate)}`;
  const fits = m.fitPages === undefined ? '' : `   target fits ${showCount(Math.floor(m.fitPages))}`;
  const style: Style = m.fitPages !== undefined && counted.pagesDirtied <= m.fitPages ? 'good' : 'warn';
  return [...label('dirty'), [said, m.fitPages === undefined ? 'plain' : style], [fits, 'dim']];
}

function capLine(m: LiveMigration, columns: number): Line {
  const { goal } = m.start;
  const ceiling = goal.capCeilingPercent;
  const percent = Math.min(ceiling, capPercent(m.track.cap, goal.domain.vcpus));
  const width = Math.min(BAR_COLUMNS_MAX, Math.max(8, Math.floor(columns / 3)));
  const drawn = bar(percent / ceiling, width);
  const floorAt = Math.min(width - 1, Math.floor((goal.capFloorPercent / ceiling) * width));
  const rest = [...(drawn.full + drawn.empty)];
  const before = rest.slice(0, floorAt).join('');
  const after = rest.slice(floorAt + 1).join('');
  const throttled = isLower(m.track.cap, goal.domain.capOriginal);
  const style: Style = throttled ? 'warn' : 'good';
  const stall = stallUnder(m.track.cap, m.start);
  const stalls = stall > 0 ? `, stalls up to ${showMs(stall)}` : '';
  const hands = m.track.steering ? '' : goal.capabilities.actuator ? '   changed by somebody else: left alone' : '   cannot be changed';
  return [
    ...label('cap'),
    [filled(showCap(m.track.cap), 9), style],
    [before, style],
    ['┃', 'bad'],
    [after, style],
    [`  floor ${goal.capFloorPercent} %${stalls}${hands}`, 'dim'],
  ];
}

function downtimeLine(m: LiveMigration): Line {
  const { forecast } = m;
  if (forecast === undefined) return [...label('downtime'), ['no prediction yet', 'dim']];
  const eta = forecast.etaMs === undefined ? [] : [`   ETA ${showRange(forecast.etaMs)}`];
  const proof =
    forecast.feasible === false
      ? [['   not reachable', 'bad'] as const, forecast.bestDowntimeMs === undefined ? '' : `: best ${showMs(forecast.bestDowntimeMs)}`]
      : [];
  return [...label('downtime'), [showRange(forecast.downtimeMs), downtimeStyle(m)], [' predicted', 'dim'], ...eta, ...proof];
}

function downtimeStyle(m: LiveMigration): Style {
  const target = m.start.goal.targetDowntimeMs;
  const predicted = m.forecast?.downtimeMs;
  if (predicted === undefined) return 'dim';
  if (predicted.high <= target) return 'good';
  return predicted.low > target ? 'bad' : 'warn';
}

function decisionLines(m: LiveMigration): readonly Line[] {
  const trouble: readonly Line[] = m.trouble === undefined ? [] : [[...label('trouble'), [m.trouble, 'bad']]];
  const taken = m.decision;
  if (taken === undefined) return [[...label('last'), ['nothing decided yet', 'dim']], ...trouble];
  const would = m.start.observe && changesSomething(taken.decision) ? 'would: ' : '';
  const style: Style = ['deny', 'abort'].includes(taken.decision.action) ? 'bad' : 'act';
  return [
    [...label('last'), `${showMs(taken.atMs)}  `, [would + showAction(taken.decision), style], `: ${safeText(taken.decision.reason.text)}`],
    ...trouble,
  ];
}

function shortFigures(m: LiveMigration): Line {
  const dirty = currentRound(m.track)?.pagesDirtied;
  const eta = m.forecast?.etaMs === undefined ? '' : `  ETA ${showNarrow(m.forecast.etaMs)}`;
  const last = m.decision === undefined ? '' : `  ${showAction(m.decision.decision)}: ${safeText(m.decision.decision.reason.text)}`;
  return [
    ['cap ', 'dim'],
    [showCap(m.track.cap).padEnd(6), isLower(m.track.cap, m.start.goal.domain.capOriginal) ? 'warn' : 'good'],
    ['  dirty ', 'dim'],
    showPagesBytes(dirty).padEnd(9),
    ['  downtime ', 'dim'],
    [showNarrow(m.forecast?.downtimeMs), downtimeStyle(m)],
    eta,
    last,
  ];
}

function endedFigures({ summary }: LiveMigration): Line {
  if (summary === undefined) return [];
  const style: Style = summary.outcome === 'met' ? 'good' : summary.outcome === 'missed' || summary.outcome === 'released' ? 'warn' : 'bad';
  const cap: Line = summary.capRestored ? [] : [['  CAP NOT RESTORED', 'bad']];
  const downtime =
    summary.observedDowntimeMs === null
      ? ''
      : `, downtime ${showMs(summary.observedDowntimeMs)}${summary.maxDirtyPages === undefined ? ' of' : ', target'} ${showTarget(summary)}`;
  const why = summary.outcome === 'aborted' || summary.outcome === 'failed' ? `: ${safeText(summary.reason)}` : '';
  return [[outcomeWords(summary), style], downtime, ...cap, why];
}
