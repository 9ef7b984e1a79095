import { capToXen } from '../core/cap.ts';
import type { Decision } from '../core/decision.ts';
import type { Outcome, SummaryRecord } from '../core/record.ts';
import { plural, showMs, showXenCap } from './human.ts';

/** A decision in a few words. */
export function showAction(decision: Decision): string {
  switch (decision.action) {
    case 'set-cap':
      return `cap to ${showXenCap(capToXen(decision.cap))}`;
    case 'uncap':
      return 'cap back';
    case 'hold':
      return 'hold';
    case 'stop-and-copy':
      return 'stop and copy';
    case 'abort':
      return 'abort';
    case 'grant':
      return decision.runFirstMs === undefined ? 'suspend granted' : 'suspend granted once it has run';
    case 'deny':
      return 'suspend denied';
  }
}

/** True for a decision that changes something, a hold does not. */
export const changesSomething = (decision: Decision): boolean => decision.action !== 'hold';

/** How it ended, in words. */
const OUTCOME_WORDS: Readonly<Record<Outcome, string>> = {
  met: 'migrated within the target downtime',
  missed: 'migrated, but the target downtime was missed',
  aborted: 'aborted: the guest runs on where it was',
  failed: 'the migration failed',
  released: 'let go: the migration goes on as on stock Xen',
};

/** The same where the target is not a downtime. */
const OUTCOME_WORDS_PAGES: Readonly<Record<Outcome, string>> = {
  ...OUTCOME_WORDS,
  met: 'migrated within the target',
  missed: 'migrated, but the target was missed',
};

type Aim = Pick<SummaryRecord, 'targetDowntimeMs' | 'maxDirtyPages'>;

export const outcomeWords = ({ outcome, maxDirtyPages }: Pick<SummaryRecord, 'outcome' | 'maxDirtyPages'>): string =>
  (maxDirtyPages === undefined ? OUTCOME_WORDS : OUTCOME_WORDS_PAGES)[outcome];

/** What was asked for: a downtime, or a count of pages. */
export const showTarget = ({ targetDowntimeMs, maxDirtyPages }: Aim): string =>
  maxDirtyPages === undefined ? showMs(targetDowntimeMs) : plural(maxDirtyPages, 'page');

/** Where the observed downtime was read, in words. */
export const SOURCE_WORDS: Readonly<Record<NonNullable<SummaryRecord['observedDowntimeSource']>, string>> = {
  handover: "suspend request to xl's “Domain started”",
  relay: 'suspend request to the end of the save helper, which is before the guest runs again',
  simulated: 'simulated',
};

/** The outcome as one sentence with its figures. */
export function outcomeSentence(summary: SummaryRecord): string {
  switch (summary.outcome) {
    case 'met':
    case 'missed': {
      const { observedDowntimeMs: observed, lastDirtyPages: sent } = summary;
      const downtime = observed === null ? 'downtime not observed' : `downtime ${showMs(observed)}`;
      const figures =
        summary.maxDirtyPages === undefined || sent === null ? downtime : `${plural(sent, 'page')} sent after the suspend, ${downtime}`;
      return `${outcomeWords(summary)}: ${figures}, target ${showTarget(summary)}`;
    }
    case 'aborted':
    case 'failed':
    case 'released':
      return outcomeWords(summary);
  }
}
