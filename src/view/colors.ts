import picocolors from 'picocolors';

export const createColors = picocolors.createColors;

export interface TerminalLike {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
}

/** Colours only on a terminal that has them, and never when NO_COLOR is set to anything (no-color.org). */
export const wantsColor = (out: TerminalLike, env: Readonly<Record<string, string | undefined>>): boolean =>
  out.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
