import type { SummaryRecord } from '../core/record.ts';
import { showBytes, showCount, showMs, showPagesBytes, showRange, showSeconds, showXenCap } from './human.ts';
import { safeText } from './text.ts';
import { outcomeSentence, SOURCE_WORDS } from './words.ts';

/** A summary as (label, text) pairs, for table, explain and report alike; all text is safe for a terminal. */
export function summaryRows(summary: SummaryRecord): readonly (readonly [label: string, text: string])[] {
  return [
    ['Outcome', outcomeSentence(summary)],
    ...(summary.reason === '' ? [] : [['Reason', safeText(summary.reason)] as const]),
    ['Controller', safeText(summary.controller)],
    ['Downtime, target', showMs(summary.targetDowntimeMs)],
    ['Downtime, predicted', predicted(summary)],
    ['Downtime, observed', observed(summary)],
    ['Guest gap, at most', gap(summary)],
    ['Rounds', showCount(summary.rounds)],
    ['Sent', showBytes(summary.bytesSent)],
    ['Last dirty set', lastDirty(summary)],
    ['Time', showSeconds(summary.totalSeconds)],
    ['Throttled', throttled(summary)],
    ['Longest stall', summary.stallMaxMs === 0 ? 'none' : `${showMs(summary.stallMaxMs)} by the caps that were in force`],
    ['Lost work', `${showSeconds(summary.lostWorkSeconds)} of guest CPU time`],
    ['Cap', capRow(summary)],
    ...(summary.seed === undefined ? [] : [['Seed', String(summary.seed)] as const]),
  ];
}

function predicted(summary: SummaryRecord): string {
  const range = summary.predictedDowntimeRangeMs;
  if (summary.predictedDowntimeMs === null) return 'none was made';
  return range === null ? showMs(summary.predictedDowntimeMs) : showRange(range);
}

function observed(summary: SummaryRecord): string {
  if (summary.observedDowntimeMs === null) {
    return summary.outcome === 'met' || summary.outcome === 'missed' ? 'not observed' : 'none';
  }
  const said = showMs(summary.observedDowntimeMs);
  return summary.observedDowntimeSource === null ? said : `${said} (${SOURCE_WORDS[summary.observedDowntimeSource]})`;
}

const gap = (summary: SummaryRecord): string =>
  summary.guestGapBoundMs === null ? '-' : `${showMs(summary.guestGapBoundMs)} (last stall and downtime together)`;

function lastDirty({ lastDirtyPages, predictedLastPages }: SummaryRecord): string {
  if (lastDirtyPages === null) return '-';
  const predicted = predictedLastPages === undefined ? '' : `; predicted ${showCount(predictedLastPages)}`;
  return `${showCount(lastDirtyPages)} pages, ${showPagesBytes(lastDirtyPages)}${predicted}`;
}

const throttled = (summary: SummaryRecord): string =>
  summary.capPercentMin === null ? 'never' : `for ${showSeconds(summary.throttledSeconds)}, down to ${showXenCap(summary.capPercentMin)}`;

function capRow(summary: SummaryRecord): string {
  const before = `${showXenCap(summary.capBefore)} before`;
  if (!summary.capRestored) return `${before}; NOT RESTORED, now ${showXenCap(summary.capAfter)}`;
  return summary.capAfter === null ? `${before}; restored` : `${before}, ${showXenCap(summary.capAfter)} after`;
}
