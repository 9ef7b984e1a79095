import { EXIT_CODES, type ExitName } from '../core/errors.ts';
import type { Outcome, SummaryRecord } from '../core/record.ts';

const BY_OUTCOME: Readonly<Record<Outcome, ExitName>> = {
  met: 'ok',
  missed: 'missed',
  aborted: 'aborted',
  failed: 'migrationFailed',
  released: 'ok',
};

/** A cap that is not back outranks everything; a signal outranks the outcome it caused. */
export function exitNameOf(summary: SummaryRecord, signal: ExitName | undefined): ExitName {
  if (!summary.capRestored) return 'capNotRestored';
  return signal ?? BY_OUTCOME[summary.outcome];
}

export const exitCodeOf = (summary: SummaryRecord, signal?: ExitName): number => EXIT_CODES[exitNameOf(summary, signal)].code;
