import { columnsOf, filled, wrap } from './text.ts';

/** One line of the table: cells by column, and the last one, free text. */
export interface Row {
  readonly domain?: string;
  readonly cells: Partial<Record<ColumnName, string>>;
  /** What was decided or what happened. */
  readonly event?: string;
  readonly why?: string;
  readonly tone?: Tone;
}

export type Tone = 'plain' | 'good' | 'bad' | 'act' | 'faint';

export interface TableLayout {
  /** Width of the terminal; undefined when piped: then nothing is left out or wrapped. */
  readonly columns?: number;
  /** Put the domain's name before each line. */
  readonly prefix: boolean;
}

type ColumnName = 'time' | 'round' | 'pages' | 'size' | 'dirty' | 'sent' | 'cap' | 'downtime' | 'eta';

interface Column {
  readonly name: ColumnName;
  readonly head: readonly [string, string];
  readonly width: number;
  /** Lower ones stay longer on a narrow terminal. */
  readonly rank: number;
}

const COLUMNS: readonly Column[] = [
  { name: 'time', head: ['', 'time'], width: 11, rank: 0 },
  { name: 'round', head: ['', 'round'], width: 5, rank: 1 },
  { name: 'pages', head: ['pages', 'to send'], width: 9, rank: 3 },
  { name: 'size', head: ['', '= size'], width: 9, rank: 8 },
  { name: 'dirty', head: ['dirty', 'rate'], width: 10, rank: 5 },
  { name: 'sent', head: ['transfer', 'rate'], width: 10, rank: 6 },
  { name: 'cap', head: ['', 'cap'], width: 6, rank: 2 },
  { name: 'downtime', head: ['predicted', 'downtime'], width: 20, rank: 4 },
  { name: 'eta', head: ['', 'ETA'], width: 23, rank: 7 },
];

const DOMAIN_COLUMNS = 16;
/** The decision stands beside the figures when it has so many columns left, else below them. */
const TEXT_COLUMNS_MIN = 36;
const INDENT = 4;

interface Shape {
  readonly columns: readonly Column[];
  readonly domain: number;
  /** Columns for the text beside the figures; undefined: it goes below. */
  readonly beside?: number;
}

function shapeOf(layout: TableLayout): Shape {
  const wide = layout.columns ?? Number.POSITIVE_INFINITY;
  const domain = layout.prefix ? Math.min(DOMAIN_COLUMNS, Math.max(0, Math.floor(wide / 4))) : 0;
  const ranked = [...COLUMNS].sort((a, b) => a.rank - b.rank);
  const kept = new Set<ColumnName>();
  let used = domain;
  for (const column of ranked) {
    if (used + column.width + 1 > wide) break;
    used += column.width + 1;
    kept.add(column.name);
  }
  const columns = COLUMNS.filter((column) => kept.has(column.name));
  const left = wide - used - 2;
  return { columns, domain, ...(left >= TEXT_COLUMNS_MIN ? { beside: left } : {}) };
}

const figures = (shape: Shape, domain: string, cell: (column: Column) => string): string =>
  (shape.domain > 0 ? filled(domain, shape.domain) : '') +
  shape.columns.map((column) => ` ${filled(cell(column), column.width, 'right')}`).join('');

/** The two head lines. */
export function headLines(layout: TableLayout): string[] {
  const shape = shapeOf(layout);
  const last = shape.beside === undefined ? '' : '  decision and why';
  return [
    figures(shape, '', (column) => column.head[0]).trimEnd(),
    (figures(shape, 'domain', (column) => column.head[1]) + last).trimEnd(),
  ];
}

/** A row as one or more lines, none wider than the layout's columns; `paint` colours the event and may not change its width. */
export function rowLines(row: Row, layout: TableLayout, paint: (text: string, tone: Tone) => string = (text) => text): string[] {
  const shape = shapeOf(layout);
  const start = figures(shape, row.domain ?? '', (column) => row.cells[column.name] ?? '');
  const event = row.event ?? '';
  const text = event === '' ? (row.why ?? '') : row.why === undefined || row.why === '' ? event : `${event}: ${row.why}`;
  if (text === '') return [start.trimEnd()];
  const indent = shape.beside === undefined ? Math.min(INDENT, Math.max(0, (layout.columns ?? 0) - 8)) : columnsOf(start) + 2;
  const room = shape.beside ?? Math.max(1, (layout.columns ?? 0) - indent);
  const [first = '', ...rest] = Number.isFinite(room) ? wrap(text, room) : [text];
  const painted =
    event !== '' && first.startsWith(event)
      ? paint(event, row.tone ?? 'plain') + first.slice(event.length)
      : paint(first, row.tone ?? 'plain');
  const blanks = ' '.repeat(indent);
  const below = rest.map((line) => blanks + line);
  return shape.beside === undefined ? [start.trimEnd(), blanks + painted, ...below] : [`${start}  ${painted}`, ...below];
}
