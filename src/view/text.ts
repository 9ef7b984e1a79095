import stringWidth from 'string-width';

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/**
 * Text from outside (domain names, xl's errors, traces of others) made harmless for a terminal: everything that is not a visible
 * character (controls, escapes, bidirectional marks, line breaks, unassigned) becomes U+FFFD, runs of white space one blank.
 */
export const safeText = (text: string): string =>
  text
    .replace(/\s+/gu, ' ')
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '\u{FFFD}')
    .trim();

/** Columns the text takes on a terminal. */
export const columnsOf = (text: string): number => stringWidth(text);

/** At most `columns` wide; what was cut shows as `…`. Only for text without colours. */
export function clip(text: string, columns: number): string {
  if (columns <= 0) return '';
  if (columnsOf(text) <= columns) return text;
  let kept = '';
  let used = 0;
  for (const { segment } of graphemes.segment(text)) {
    const width = columnsOf(segment);
    if (used + width > columns - 1) break;
    kept += segment;
    used += width;
  }
  return `${kept}…`;
}

/** Exactly `columns` wide: clipped or filled with blanks. */
export function filled(text: string, columns: number, align: 'left' | 'right' = 'left'): string {
  const cut = clip(text, columns);
  const blanks = ' '.repeat(Math.max(0, columns - columnsOf(cut)));
  return align === 'left' ? cut + blanks : blanks + cut;
}

/** Lines of at most `columns`, broken at blanks; a word that is wider than a line is clipped. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (columnsOf(longer) <= columns) {
      line = longer;
      continue;
    }
    if (line !== '') lines.push(line);
    line = clip(word, columns);
  }
  lines.push(line);
  return lines;
}
