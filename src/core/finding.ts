import type { ExitName } from './errors.ts';

/** How bad a finding is, worst last. `note`: worth knowing, nothing to mend. */
export const FINDING_LEVELS = ['ok', 'note', 'warning', 'problem'] as const;
export type FindingLevel = (typeof FINDING_LEVELS)[number];

/** One thing that `xthrottle doctor` looked at. */
export interface Finding {
  /** What was looked at, one or two words; several findings may share it. */
  readonly check: string;
  readonly level: FindingLevel;
  /** What was found, one sentence without a full stop. */
  readonly found: string;
  /** What to do: a command wherever there is one. */
  readonly todo?: string;
  /** Of a problem: the exit code that a migration would end with; without one `unfit`. */
  readonly exit?: ExitName;
}

/** Of several problems the one that says most: without xl nothing else is known, and a cap left behind harms a guest now. */
const PROBLEM_ORDER: readonly ExitName[] = ['noXl', 'capNotRestored', 'noCap', 'unfit'];

/** The exit code of a set of findings: that of the worst. */
export function exitNameOfFindings(findings: readonly Finding[]): ExitName {
  const problems = findings.filter((finding) => finding.level === 'problem').map((finding) => finding.exit ?? 'unfit');
  if (problems.length > 0) return PROBLEM_ORDER.find((name) => problems.includes(name)) ?? 'unfit';
  return findings.some((finding) => finding.level === 'warning') ? 'warned' : 'ok';
}
