import { FINDING_LEVELS, type Finding, type FindingLevel } from '../core/finding.ts';
import { compose, type Segment, type Style } from './segments.ts';
import { columnsOf, filled, safeText, wrap } from './text.ts';

const STYLES: Readonly<Record<FindingLevel, Style>> = { ok: 'good', note: 'accent', warning: 'warn', problem: 'bad' };
const COLUMNS_PLAIN = 110;
/** Narrower than this, text is not wrapped any further. */
const TEXT_COLUMNS_MIN = 30;

export interface DoctorViewOptions {
  readonly color: boolean;
  /** Of the terminal; plain text is wrapped at 110. */
  readonly columns?: number | undefined;
}

/** Findings as lines: level, what was looked at, what was found, and below it what to do; then how many of each. */
export function doctorLines(findings: readonly Finding[], { color, columns = COLUMNS_PLAIN }: DoctorViewOptions): readonly string[] {
  const levels = Math.max(...FINDING_LEVELS.map(columnsOf));
  const checks = Math.max(0, ...findings.map(({ check }) => columnsOf(safeText(check))));
  const indent = levels + checks + 4;
  const room = Math.max(TEXT_COLUMNS_MIN, columns - indent);
  const wide = Math.max(columns, indent + TEXT_COLUMNS_MIN);
  const line = (segments: readonly Segment[]): string => compose(segments, wide, color).trimEnd();
  const lines = findings.flatMap(({ check, level, found, todo }, i) => {
    const head: readonly Segment[] = [
      [filled(level, levels), STYLES[level]],
      '  ',
      [filled(findings[i - 1]?.check === check ? '' : safeText(check), checks), 'bold'],
      '  ',
    ];
    const texts = wrap(safeText(found), room).map((text, row) => (row === 0 ? [...head, text] : [' '.repeat(indent), text]));
    // A command is for copying: it is never broken or clipped.
    const mend: readonly Segment[][] = todo === undefined ? [] : [[' '.repeat(indent), ['→ ', 'act'], safeText(todo)]];
    return [...texts.map(line), ...mend.map((segments) => compose(segments, Number.MAX_SAFE_INTEGER, color))];
  });
  return [...lines, '', line(totals(findings))];
}

function totals(findings: readonly Finding[]): readonly Segment[] {
  const plural = (count: number, level: FindingLevel): string =>
    level === 'ok' ? `${count} ok` : `${count} ${level}${count === 1 ? '' : 's'}`;
  return [...FINDING_LEVELS].reverse().flatMap((level, i): readonly Segment[] => {
    const count = findings.filter((finding) => finding.level === level).length;
    return [i === 0 ? '' : ', ', [plural(count, level), count === 0 ? 'dim' : STYLES[level]]];
  });
}
