import { bars, ratioStrips, scatter } from './charts.ts';
import { COLUMNS, LEGEND } from './columns.ts';
import { escaped } from './escape.ts';
import { DISTRIBUTION } from './held-out.ts';
import { type BenchReport, SET_NAMES, SET_TITLES, type SetReport } from './report.ts';
import { scenarioTable } from './scenario-table.ts';
import { costLines } from './text.ts';

const STYLE = `
:root { color-scheme: light dark; --ink: #1b1f24; --dim: #57606a; --line: #d0d7de; --paper: #fff; --ours: #0a6e5c; --other: #7d8590; --bad: #b3261e; --good: #1a7f37; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --dim: #9198a1; --line: #30363d; --paper: #0d1117; --ours: #3fb99f; --other: #8b949e; --bad: #ff7b72; --good: #56d364; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 78rem; margin: 2rem auto; padding: 0 1rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; } th:first-child, td:first-child { text-align: left; }
tr.ours td { font-weight: 600; } .pass { color: var(--good); } .fail { color: var(--bad); font-weight: 600; } .dim, figcaption { color: var(--dim); }
figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; } svg .dim { fill: var(--dim); }
svg .axis { stroke: var(--line); } svg .ours { fill: var(--ours); stroke: var(--ours); } svg .other { fill: var(--other); stroke: var(--other); }
svg .range { stroke-width: 2; } svg .dot { fill-opacity: .55; stroke: none; } pre { white-space: pre-wrap; }`;

/** One file, no scripts, nothing loaded from elsewhere. */
export function htmlPage(report: BenchReport): string {
  const sets = SET_NAMES.map((name) => {
    const about = name === 'heldOut' ? `<pre class="dim">${DISTRIBUTION.map(escaped).join('\n')}</pre>` : '';
    return `<h2>${SET_TITLES[name]}</h2>${about}${setHtml(report.sets[name], name === 'tuned')}`;
  });
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>xthrottle benchmark, seed ${report.seed}</title><style>${STYLE}</style></head><body>
<h1>xthrottle benchmark</h1>
<p>Seed ${report.seed}${report.quick ? ', quick' : ''}. ${costLines(report).map(escaped).join(' ')}</p>
${LEGEND.map((l) => `<p class="dim">${escaped(l)}</p>`).join('\n')}
${sets.join('\n')}
</body></html>
`;
}

function setHtml(set: SetReport, byScenario: boolean): string {
  const head = ['', ...COLUMNS.map((c) => c.head)].map((h) => `<th scope="col">${escaped(h)}</th>`).join('');
  const rows = Object.entries(set.rows).map(
    ([variant, a]) => `<tr${ours(variant)}><td>${escaped(variant)}</td>${COLUMNS.map((c) => `<td>${escaped(c.of(a))}</td>`).join('')}</tr>`,
  );
  return `<div class="wide"><table><thead><tr>${head}</tr></thead><tbody>${rows.join('\n')}</tbody></table></div>
${mustReach(set)}
${figureHtml('Feasible cases in which the target was met', bars(set))}
${figureHtml('Lost work against the clairvoyant planner, where both attain: median and 95th percentile (logarithmic)', ratioStrips(set))}
${figureHtml('Lost work and total time against the planner, one dot a case that both attain (logarithmic)', scatter(set))}
${byScenario ? scenarioTable(set) : ''}`;
}

const ours = (variant: string): string => (variant.startsWith('working-set') ? ' class="ours"' : '');
const figureHtml = (caption: string, svg: string): string => `<figure>${svg}<figcaption>${escaped(caption)}</figcaption></figure>`;

function mustReach(set: SetReport): string {
  if (set.criteria.length === 0) return '';
  const rows = set.criteria.map(
    (c) =>
      `<tr><td>${escaped(`${c.row}: ${c.text}`)}</td><td>${escaped(c.value)}</td><td>${escaped(c.limit)}</td><td>${c.n}</td><td class="${c.pass ? 'pass' : 'fail'}">${c.pass ? 'pass' : 'FAIL'}</td><td>${escaped(c.steady)}</td></tr>`,
  );
  return `<h3>Must reach</h3><div class="wide"><table><thead><tr><th></th><th>value</th><th>limit</th><th>N</th><th></th><th>steady (N)</th></tr></thead><tbody>${rows.join('\n')}</tbody></table></div>`;
}
