import { BLOCK_LINES, blockLines, compactLines, type Line, oneLine } from './live-block.ts';
import type { LiveMigration, LiveModel } from './live-model.ts';
import { compose, type Style } from './segments.ts';

export interface Screen {
  readonly columns: number;
  readonly rows: number;
  readonly color: boolean;
}

const CHART_ROWS_MAX = 12;
const CHART_ROWS_MIN = 3;
const COMPACT_LINES = 3;

const NOTE_STYLE: Readonly<Record<'info' | 'warning' | 'error', Style>> = { info: 'dim', warning: 'warn', error: 'bad' };

/** The whole screen as lines: at most `rows` of at most `columns` each. Running migrations first, as full as there is room for. */
export function render(model: LiveModel, screen: Screen): string[] {
  if (screen.rows <= 0 || screen.columns <= 0) return [];
  const running = model.migrations.filter(({ summary }) => summary === undefined);
  const ended = model.migrations.filter(({ summary }) => summary !== undefined).reverse();
  const title: Line = [['xthrottle', 'bold'], `  ${running.length} running, ${ended.length} ended`];
  const notes = model.notes.map(({ level, text }): Line => [[`${level}: `, NOTE_STYLE[level]], text]);
  const lines: Line[] = [title];
  const below = [...(ended.length === 0 ? [] : [[], ...ended.map((m) => oneLine(m, screen.columns))]), ...notes];
  // What is below gets at most a third of the screen while something runs.
  const reserved = running.length === 0 ? below.length : Math.min(below.length, Math.floor(screen.rows / 3));
  lines.push(...runningLines(running, screen.columns, screen.rows - 1 - reserved));
  if (model.migrations.length === 0) lines.push([], [['waiting for migrations', 'dim']]);
  lines.push(...below.slice(0, Math.max(0, screen.rows - lines.length)));
  return lines.slice(0, screen.rows).map((line) => compose(line, screen.columns, screen.color));
}

function runningLines(running: readonly LiveMigration[], columns: number, room: number): readonly Line[] {
  if (running.length === 0 || room <= 0) return [];
  const each = Math.floor(room / running.length);
  if (each >= BLOCK_LINES) {
    const spare = each - BLOCK_LINES;
    const chart = spare >= CHART_ROWS_MIN ? Math.min(CHART_ROWS_MAX, spare) : 0;
    return running.flatMap((m) => [[], ...blockLines(m, columns, chart)]);
  }
  if (each >= COMPACT_LINES) return running.flatMap((m) => compactLines(m, columns));
  if (running.length <= room) return running.map((m) => oneLine(m, columns));
  const shown = running.slice(0, room - 1);
  return [...shown.map((m) => oneLine(m, columns)), [[`and ${running.length - shown.length} more`, 'dim']]];
}
