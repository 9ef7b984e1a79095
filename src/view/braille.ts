/** A dot grid drawn with braille characters: two dots a column, four a row. */
export interface Plot {
  readonly columns: number;
  readonly rows: number;
  /** By dot column, left to right: height as a share of the plot (0 … 1), or undefined for nothing. */
  readonly heights: readonly (number | undefined)[];
  /** By dot column: a line to compare with, drawn where no dots are. */
  readonly line?: readonly (number | undefined)[];
}

const DOTS_ACROSS = 2;
const DOTS_DOWN = 4;
/** Bits of a braille character, by dot column and row from the top. */
const BITS: readonly (readonly number[])[] = [
  [0x01, 0x02, 0x04, 0x40],
  [0x08, 0x10, 0x20, 0x80],
];
const BRAILLE = 0x2800;

export interface Cell {
  readonly text: string;
  readonly kind: 'data' | 'over' | 'line' | 'blank';
}

/** Dots across a plot of so many columns. */
export const dotColumns = (columns: number): number => columns * DOTS_ACROSS;

/**
 * The plot as rows of cells, one terminal column each. The curve is joined from column to column; `over` marks cells of the curve that
 * lie above the line.
 */
export function plotCells(plot: Plot): readonly (readonly Cell[])[] {
  const down = plot.rows * DOTS_DOWN;
  const dotOf = (share: number): number => down - 1 - Math.round(Math.min(1, Math.max(0, share)) * (down - 1));
  const bits = Array.from({ length: plot.rows }, () => new Array<number>(plot.columns).fill(0));
  const over = Array.from({ length: plot.rows }, () => new Array<boolean>(plot.columns).fill(false));
  let last: number | undefined;
  for (let x = 0; x < dotColumns(plot.columns); x++) {
    const height = plot.heights[x];
    const limit = plot.line?.[x];
    if (height !== undefined) {
      const to = dotOf(height);
      const from = last ?? to;
      for (let y = Math.min(from, to); y <= Math.max(from, to); y++) {
        const [row, column] = [Math.floor(y / DOTS_DOWN), Math.floor(x / DOTS_ACROSS)];
        (bits[row] as number[])[column] = (bits[row]?.[column] ?? 0) | (BITS[x % DOTS_ACROSS]?.[y % DOTS_DOWN] ?? 0);
        if (limit !== undefined && y < dotOf(limit)) (over[row] as boolean[])[column] = true;
      }
    }
    last = height === undefined ? undefined : dotOf(height);
  }
  const lineRow = (column: number): number | undefined => {
    const limit = plot.line?.[column * DOTS_ACROSS] ?? plot.line?.[column * DOTS_ACROSS + 1];
    return limit === undefined || limit > 1 ? undefined : Math.floor(dotOf(limit) / DOTS_DOWN);
  };
  return bits.map((cells, row) =>
    cells.map((value, column): Cell => {
      if (value !== 0) return { text: String.fromCodePoint(BRAILLE + value), kind: over[row]?.[column] === true ? 'over' : 'data' };
      return lineRow(column) === row ? { text: '┄', kind: 'line' } : { text: ' ', kind: 'blank' };
    }),
  );
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of exactly `columns`, filled to `share` (0 … 1) in eighths of a column. */
export function bar(share: number, columns: number): { readonly full: string; readonly empty: string } {
  const eighths = Math.round(Math.min(1, Math.max(0, Number.isNaN(share) ? 0 : share)) * columns * 8);
  const full = '█'.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? '');
  return { full, empty: '░'.repeat(Math.max(0, columns - full.length)) };
}
