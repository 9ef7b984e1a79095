import type { SummaryRecord } from '../core/record.ts';
import { type Html, html } from './html.ts';
import { showMs, showRange } from './human.ts';

const HEIGHT = 34;
const PAD = 4;

/** The scale of strips beside each other: all targets and observed downtimes fit, and predictions that are not of another order. */
export function stripScale(summaries: readonly SummaryRecord[]): number {
  const shown = Math.max(1, ...summaries.flatMap((s) => [1.5 * s.targetDowntimeMs, s.observedDowntimeMs ?? 0]));
  const predicted = summaries.map((s) => s.predictedDowntimeRangeMs?.high ?? s.predictedDowntimeMs ?? 0);
  return Math.max(shown, ...predicted.filter((value) => value <= 3 * shown)) * 1.04;
}

/** Target, predicted (with its range) and observed downtime on one linear scale from 0 to `scale` ms; `across` is its nominal width. */
export function strip(summary: SummaryRecord, scale: number, across = 320): Html {
  const x = (value: number): string => (PAD + (Math.min(value, scale) / scale) * (across - 2 * PAD)).toFixed(1);
  const width = (from: number, to: number): string => Math.max(1, Number(x(to)) - Number(x(from))).toFixed(1);
  const {
    targetDowntimeMs: target,
    predictedDowntimeMs: predicted,
    predictedDowntimeRangeMs: range,
    observedDowntimeMs: observed,
  } = summary;
  const tone = observed === null ? 'none' : observed <= target ? 'good' : 'bad';
  const text = `Downtime: target ${showMs(target)}, predicted ${range === null ? showMs(predicted) : showRange(range)}, observed ${showMs(observed)}`;
  return html`<svg class="strip" viewBox="0 0 ${across} ${HEIGHT}" role="img" aria-label="${text}">
<line class="strip-axis" x1="${PAD}" x2="${across - PAD}" y1="17" y2="17"/>
${observed === null ? undefined : html`<rect class="strip-observed strip-${tone}" x="${x(0)}" y="19" width="${width(0, observed)}" height="9" rx="2"/>`}
${range === null ? undefined : html`<rect class="strip-range" x="${x(range.low)}" y="6" width="${width(range.low, range.high)}" height="9" rx="2"/>`}
${predicted === null || !Number.isFinite(predicted) ? undefined : html`<line class="strip-predicted" x1="${x(predicted)}" x2="${x(predicted)}" y1="4" y2="17"/>`}
<line class="strip-target" x1="${x(target)}" x2="${x(target)}" y1="0" y2="${HEIGHT}"/>
</svg>`;
}
