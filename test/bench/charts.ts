import { escaped } from './escape.ts';
import type { SetReport } from './report.ts';

const WIDTH = 860;
const LEFT = 190;
const ROW = 22;
const kindOf = (variant: string): string => (variant.startsWith('working-set') ? 'ours' : 'other');
const svg = (height: number, label: string, body: string): string =>
  `<svg viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" role="img" aria-label="${escaped(label)}">${body}</svg>`;
const name = (variant: string, y: number): string => `<text x="${LEFT - 8}" y="${y + 4}" text-anchor="end">${escaped(variant)}</text>`;

/** A bar a controller: feasible cases whose target was met. */
export function bars(set: SetReport): string {
  const rows = Object.entries(set.rows).filter(([, a]) => a.feasible > 0);
  const scale = (WIDTH - LEFT - 90) / 100;
  const body = rows.map(([variant, a], i) => {
    const y = 14 + i * ROW;
    const percent = (100 * a.attained) / a.feasible;
    const rect = `<rect class="${kindOf(variant)}" x="${LEFT}" y="${y - 7}" width="${(percent * scale).toFixed(1)}" height="14"/>`;
    return `${name(variant, y)}${rect}<text x="${LEFT + percent * scale + 6}" y="${y + 4}">${a.attained}/${a.feasible}</text>`;
  });
  return svg(20 + rows.length * ROW, 'Share of feasible cases attained', body.join(''));
}

const RATIO_MIN = 0.5;
const RATIO_MAX = 50;
const along = (ratio: number, from: number, to: number): number => {
  const clamped = Math.min(RATIO_MAX, Math.max(RATIO_MIN, ratio));
  return from + ((to - from) * Math.log(clamped / RATIO_MIN)) / Math.log(RATIO_MAX / RATIO_MIN);
};

/** A line a controller from the median to the 95th percentile of its lost work over the planner's. */
export function ratioStrips(set: SetReport): string {
  const rows = Object.entries(set.rows).filter(([, a]) => a.lostWorkRatio.n > 0);
  const height = 34 + rows.length * ROW;
  const x = (ratio: number): number => along(ratio, LEFT, WIDTH - 20);
  const ticks = [0.5, 1, 2, 5, 10, 20, 50].map(
    (t) =>
      `<line class="axis" x1="${x(t)}" x2="${x(t)}" y1="4" y2="${height - 22}"/><text class="dim" x="${x(t)}" y="${height - 6}" text-anchor="middle">${t}×</text>`,
  );
  const body = rows.map(([variant, a], i) => {
    const y = 14 + i * ROW;
    const from = x(a.lostWorkRatio.median ?? 1);
    const to = x(a.lostWorkRatio.p95 ?? 1);
    const kind = kindOf(variant);
    return `${name(variant, y)}<line class="range ${kind}" x1="${from}" x2="${to}" y1="${y}" y2="${y}"/><circle class="${kind}" cx="${from}" cy="${y}" r="5"/><line class="range ${kind}" x1="${to}" x2="${to}" y1="${y - 5}" y2="${y + 5}"/>`;
  });
  return svg(height, 'Lost work against the planner', ticks.join('') + body.join(''));
}

const SCATTERED = ['working-set', 'auto-converge', 'step-down', 'proportional'];
const PANEL = 200;

/** A small panel a controller: lost work (across) and total time (up) over the planner's. */
export function scatter(set: SetReport): string {
  const shown = SCATTERED.filter((v) => set.rows[v] !== undefined);
  const panels = shown.map((variant, i) => {
    const left = 20 + i * (PANEL + 12);
    const dots = set.results.flatMap((r) => {
      const row = r.rows.find((x) => x.variant === variant);
      if (row === undefined || !row.attained) return [];
      const plan = r.references[row.profile];
      if (!plan.attained) return [];
      const epsilon = 0.01 * plan.guestSeconds;
      const cx = along((row.lostSeconds + epsilon) / (plan.lostSeconds + epsilon), left, left + PANEL);
      const cy = along(row.totalSeconds / plan.totalSeconds, 30 + PANEL, 30);
      return [`<circle class="dot ${kindOf(variant)}" cx="${cx.toFixed(1)}" cy="${cy.toFixed(1)}" r="3"/>`];
    });
    const one = along(1, 0, PANEL);
    const axes = `<line class="axis" x1="${left + one}" x2="${left + one}" y1="30" y2="${30 + PANEL}"/><line class="axis" x1="${left}" x2="${left + PANEL}" y1="${30 + PANEL - one}" y2="${30 + PANEL - one}"/>`;
    return `<rect class="axis" x="${left}" y="30" width="${PANEL}" height="${PANEL}" fill="none"/><text x="${left}" y="20">${escaped(variant)} (${dots.length})</text>${axes}${dots.join('')}`;
  });
  const foot = `<text class="dim" x="20" y="${PANEL + 50}">across: lost work, up: total time, ${RATIO_MIN} … ${RATIO_MAX} × the planner’s; the lines are 1×</text>`;
  return svg(PANEL + 60, 'Lost work and total time against the planner', panels.join('') + foot);
}
