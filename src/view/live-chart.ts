import { dotColumns, plotCells } from './braille.ts';
import { showPagesBytes } from './human.ts';
import type { ChartPoint, LiveMigration } from './live-model.ts';
import type { Segment, Style } from './segments.ts';
import { filled } from './text.ts';

const AXIS_COLUMNS = 10;
const CHART_COLUMNS_MIN = 12;

const STYLES: Readonly<Record<'data' | 'over' | 'line' | 'blank', Style>> = { data: 'good', over: 'warn', line: 'dim', blank: 'plain' };

/** The dirty set over time on a logarithmic scale, against what fits the target (┄). No rows when there is nothing or no room to show. */
export function chartRows(m: LiveMigration, columns: number, height: number): readonly (readonly Segment[])[] {
  const width = columns - AXIS_COLUMNS - 2;
  const seen = m.chart.filter(({ dirtyPages }) => dirtyPages > 0);
  const first = seen[0];
  if (first === undefined || width < CHART_COLUMNS_MIN || height <= 0) return [];
  const values = seen.flatMap(({ dirtyPages, fitPages }) => [dirtyPages, ...(fitPages !== undefined && fitPages > 0 ? [fitPages] : [])]);
  const top = Math.log(Math.max(...values) * 1.1);
  const bottom = Math.min(top - Math.LN10, Math.log(Math.max(1, Math.min(...values) / 1.5)));
  const share = (pages: number): number => (Math.log(Math.max(1, pages)) - bottom) / (top - bottom);
  const dots = dotColumns(width);
  const last = m.track.atMs - m.track.startedAtMs;
  const buckets = bucketed(seen, first.atMs, Math.max(last, first.atMs + 1), dots);
  const cells = plotCells({
    columns: width,
    rows: height,
    heights: buckets.map((point) => (point === undefined ? undefined : Math.max(0, share(point.dirtyPages)))),
    line: buckets.map((point) => (point?.fitPages === undefined || point.fitPages <= 0 ? undefined : share(point.fitPages))),
  });
  return cells.map((row, i) => {
    const value = Math.exp(top - ((top - bottom) * i) / Math.max(1, height - 1));
    const axis = i === 0 || i === height - 1 ? showPagesBytes(value) : '';
    return [
      [filled(axis, AXIS_COLUMNS - 1, 'right'), 'dim'],
      ['│', 'dim'],
      ...merged(row.map(({ text, kind }) => [text, STYLES[kind]] as const)),
    ];
  });
}

/** By dot column the highest point that falls into it; gaps keep the last one, for the dirty set is known only now and then. */
function bucketed(points: readonly ChartPoint[], fromMs: number, toMs: number, count: number): readonly (ChartPoint | undefined)[] {
  const buckets = new Array<ChartPoint | undefined>(count).fill(undefined);
  for (const point of points) {
    const at = Math.min(count - 1, Math.max(0, Math.floor(((point.atMs - fromMs) / (toMs - fromMs)) * count)));
    const before = buckets[at];
    buckets[at] = before === undefined || point.dirtyPages > before.dirtyPages ? point : { ...before, fitPages: point.fitPages };
  }
  let last: ChartPoint | undefined;
  return buckets.map((point) => {
    last = point ?? last;
    return last;
  });
}

function merged(cells: readonly (readonly [string, Style])[]): readonly (readonly [string, Style])[] {
  const out: [string, Style][] = [];
  for (const [text, style] of cells) {
    const last = out.at(-1);
    if (last?.[1] === style) last[0] += text;
    else out.push([text, style]);
  }
  return out;
}
