import type { MigrationTrace } from '../trace/read.ts';
import { type Story, type StoryDecision, storyOf } from '../trace/story.ts';
import { showBytesRate, showCount, showMs, showPagesBytes, showRange, showXenCap } from './human.ts';
import { narrate } from './narrative.ts';
import { summaryRows } from './summary.ts';
import { columnsOf, filled, safeText, wrap } from './text.ts';
import { changesSomething, outcomeSentence, showAction } from './words.ts';

const PAGE_COLUMNS = 100;
/** Decisions shown in full; of more the middle is left out. */
const DECISIONS_MAX = 40;
const ROUNDS_MAX = 40;

/** A migration as a page of plain text, for a ticket: what happened, rounds, decisions, figures. Lines of at most `columns`. */
export function explain(trace: MigrationTrace, notes: readonly string[] = [], columns = PAGE_COLUMNS): string {
  const story = storyOf(trace);
  const width = Math.max(40, columns);
  const title = `Migration of ${safeText(story.goal.domain.name)}${story.start.time === undefined ? '' : `, ${safeText(story.start.time)}`}`;
  return [
    ...wrap(title, width),
    '='.repeat(Math.min(width, columnsOf(title))),
    ...wrap(story.summary === undefined ? 'The end was not recorded' : outcomeSentence(story.summary), width),
    '',
    ...narrate(story).flatMap((text) => [...wrap(text, width), '']),
    ...section('Rounds', roundLines(story, width)),
    ...section('Decisions', decisionLines(story, width)),
    ...section('Trouble', troubleLines(story, notes, width)),
    ...section('Figures', story.summary === undefined ? [] : figureLines(story.summary, width)),
  ]
    .join('\n')
    .trimEnd()
    .concat('\n');
}

const section = (title: string, lines: readonly string[]): readonly string[] =>
  lines.length === 0 ? [] : [title, '-'.repeat(title.length), ...lines, ''];

function roundLines(story: Story, width: number): readonly string[] {
  const head = ['round', 'at', 'took', 'to send', 'size', 'dirtied', 'dirty rate', 'transfer rate', 'cap'];
  const rows = story.rounds.map((round) => [
    showCount(round.round),
    showMs(round.startMs),
    round.endMs === undefined ? 'not ended' : showMs(round.endMs - round.startMs),
    showCount(round.pagesToSend),
    showPagesBytes(round.pagesToSend),
    showCount(round.pagesDirtied),
    showBytesRate(round.dirtyRate === undefined ? undefined : round.dirtyRate * 4096),
    showBytesRate(round.transferRate),
    showXenCap(round.cap),
  ]);
  if (rows.length === 0) return [];
  return middleOut(aligned([head, ...rows]), ROUNDS_MAX).map((line) => filled(line, width).trimEnd());
}

function aligned(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((cells) => columnsOf(cells[i] ?? ''))));
  return rows.map((cells) => cells.map((text, i) => filled(text, widths[i] ?? 0, 'right')).join('  '));
}

function decisionLines(story: Story, width: number): readonly string[] {
  const acts = story.decisions.filter(({ decision }) => changesSomething(decision));
  const holds = story.decisions.reduce((sum, { decision, times }) => sum + (changesSomething(decision) ? 0 : times), 0);
  const lines = acts.map((taken) => decisionLine(taken, story.start.observe));
  const rest = holds === 0 ? [] : [`Besides these it held ${holds} times.`];
  return [...middleOut(lines, DECISIONS_MAX).flatMap((line) => hanging(line, width)), ...rest];
}

function decisionLine({ atMs, round, decision }: StoryDecision, observe: boolean): string {
  const place = round === undefined ? '' : `, round ${round}`;
  const would = observe ? 'would: ' : '';
  const forecast = decision.forecast === undefined ? '' : ` [predicted downtime ${showRange(decision.forecast.downtimeMs)}]`;
  return `${showMs(atMs)}${place}: ${would}${showAction(decision)}: ${safeText(decision.reason.text)}${forecast}`;
}

function troubleLines(story: Story, notes: readonly string[], width: number): readonly string[] {
  return [
    ...story.notes.map((note) => `${note.level}: ${safeText(note.text)}`),
    ...story.failures.map(({ atMs, value }) => `${showMs(atMs)}: ${value.action} failed: ${safeText(value.error ?? 'no reason given')}`),
    ...notes.map(safeText),
  ].flatMap((line) => hanging(line, width));
}

function figureLines(summary: NonNullable<Story['summary']>, width: number): readonly string[] {
  const rows = summaryRows(summary);
  const labels = Math.max(...rows.map(([label]) => columnsOf(label))) + 2;
  return rows.flatMap(([label, text]) => {
    const [first = '', ...rest] = wrap(text, width - labels);
    return [filled(label, labels) + first, ...rest.map((line) => ' '.repeat(labels) + line)];
  });
}

const hanging = (line: string, width: number): readonly string[] => wrap(line, width - 2).map((part, i) => (i === 0 ? part : `  ${part}`));

function middleOut(lines: readonly string[], most: number): readonly string[] {
  if (lines.length <= most) return lines;
  const half = Math.floor(most / 2);
  return [...lines.slice(0, half), `… ${lines.length - 2 * half} more, see the trace …`, ...lines.slice(-half)];
}
