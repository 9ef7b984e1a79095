import { createColors } from './colors.ts';
import { clip, columnsOf } from './text.ts';

export type Style = 'plain' | 'bold' | 'dim' | 'good' | 'warn' | 'bad' | 'act' | 'accent';

/** A piece of a line and how it looks; the text holds no escapes. */
export type Segment = string | readonly [text: string, style: Style];

/** The pieces as one line of at most `columns`; colours come last, so that clipping can't cut an escape. */
export function compose(segments: readonly Segment[], columns: number, color: boolean): string {
  const colors = createColors(color);
  const paint: Record<Style, (text: string) => string> = {
    plain: (text) => text,
    bold: colors.bold,
    dim: colors.dim,
    good: colors.green,
    warn: colors.yellow,
    bad: colors.red,
    act: colors.cyan,
    accent: colors.blue,
  };
  let left = columns;
  let line = '';
  for (const segment of segments) {
    const [text, style] = typeof segment === 'string' ? ([segment, 'plain'] as const) : segment;
    if (left <= 0 || text === '') continue;
    const cut = clip(text, left);
    line += paint[style](cut);
    left -= columnsOf(cut);
    if (cut !== text) break;
  }
  return line;
}
