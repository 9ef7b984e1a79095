import { escaped } from './escape.ts';
import type { CaseResult } from './measure.ts';
import type { SetReport } from './report.ts';
import { median } from './statistics.ts';

const SHOWN = ['none', 'step-down', 'proportional', 'auto-converge', 'jin', 'working-set', 'working-set steep'];

/** Scenario by scenario: what the planner can do, and downtime and lost seconds of the main controllers (medians over the seeds). */
export function scenarioTable(set: SetReport): string {
  const shown = SHOWN.filter((name) => set.rows[name] !== undefined);
  const head = ['scenario', 'target ms', 'planner', ...shown].map((h) => `<th scope="col">${escaped(h)}</th>`).join('');
  const byName = grouped(set.results);
  const rows = [...byName].map(([name, results]) => {
    const target = results[0]?.rows[0]?.targetMs ?? 0;
    return `<tr><td>${escaped(name)}</td><td>${target}</td><td>${plannerCell(results)}</td>${shown.map((v) => cell(results, v)).join('')}</tr>`;
  });
  return `<h3>By scenario</h3><p class="dim">Downtime in ms · guest seconds lost. – means that the guest stayed.</p><div class="wide"><table><thead><tr>${head}</tr></thead><tbody>${rows.join('\n')}</tbody></table></div>`;
}

const nameOf = (r: CaseResult): string => r.rows[0]?.scenario ?? String(r.case.scenario);

function grouped(results: readonly CaseResult[]): Map<string, CaseResult[]> {
  const map = new Map<string, CaseResult[]>();
  for (const r of results) map.set(nameOf(r), [...(map.get(nameOf(r)) ?? []), r]);
  return map;
}

function plannerCell(results: readonly CaseResult[]): string {
  const plans = results.map((r) => r.references.steep).filter((p) => p.attained);
  if (plans.length === 0) return 'not reachable';
  return `${plans.some((p) => p.feasible) ? 'feasible' : 'reachable'} · ${(median(plans.map((p) => p.lostSeconds)) ?? 0).toFixed(1)} s`;
}

function cell(results: readonly CaseResult[], variant: string): string {
  const rows = results.flatMap((r) => r.rows.filter((row) => row.variant === variant));
  const downtime = median(rows.flatMap((r) => r.observedMs ?? []));
  const lost = median(rows.map((r) => r.lostSeconds)) ?? 0;
  const all = rows.every((r) => r.attained);
  return `<td class="${all ? 'pass' : downtime === null ? 'dim' : 'fail'}">${downtime === null ? '–' : downtime.toFixed(0)} · ${lost.toFixed(1)} s</td>`;
}
