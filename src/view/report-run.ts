import type { SummaryRecord } from '../core/record.ts';
import { PAGE_BYTES } from '../core/units.ts';
import type { Story, StoryDecision } from '../trace/story.ts';
import { type Html, html } from './html.ts';
import { showBytes, showBytesRate, showCount, showMs, showPagesBytes, showRange, showSeconds, showXenCap } from './human.ts';
import { narrate } from './narrative.ts';
import { strip, stripScale } from './report-strip.ts';
import { summaryRows } from './summary.ts';
import { safeText } from './text.ts';
import { changesSomething, showAction } from './words.ts';

export const anchorOf = (index: number): string => `run-${index + 1}`;

/** What a run is called on the page. */
export function titleOf(story: Story): string {
  const { scenario, time } = story.start;
  return [
    safeText(story.goal.domain.name),
    scenario === undefined ? undefined : safeText(scenario),
    time === undefined ? undefined : safeText(time),
  ]
    .filter((part) => part !== undefined)
    .join(' · ');
}

const BADGES: Readonly<Record<SummaryRecord['outcome'], readonly [mark: string, text: string]>> = {
  met: ['✓', 'target met'],
  missed: ['!', 'target missed'],
  aborted: ['■', 'aborted'],
  failed: ['✕', 'failed'],
  released: ['→', 'let go'],
};

export function badge(summary: SummaryRecord | undefined): Html {
  if (summary === undefined) return html`<span class="badge b-unknown">end not recorded</span>`;
  const [mark, text] = BADGES[summary.outcome];
  return html`<span class="badge b-${summary.outcome}"><span aria-hidden="true">${mark}</span> ${text}</span>`;
}

/** What tells it from other runs of the same domain or scenario. */
export const labelOf = (story: Story): string => `${titleOf(story)} · ${safeText(story.start.controller)}`;

/** One run: words, figures, charts, decisions, rounds, settings. The only run of a page needs no title of its own. */
export function runSection(story: Story, index: number, only: boolean): Html {
  const { summary } = story;
  const id = anchorOf(index);
  return html`<section class="run-section" id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${only ? 'What happened' : html`${labelOf(story)} ${badge(summary)}`}</h2>
<div class="overview">
<div class="card words">${narrate(story).map((text) => html`<p>${text}</p>`)}</div>
${summary === undefined ? undefined : tiles(summary)}
</div>
${troubles(story)}
${charts(index)}
${decisions(story)}
${rounds(story)}
${details(story)}
</section>`;
}

function tiles(summary: SummaryRecord): Html {
  const off =
    summary.observedDowntimeMs === null || summary.predictedDowntimeMs === null
      ? 'no prediction to compare'
      : `predicted ${showMs(summary.predictedDowntimeMs)}`;
  const tone = summary.observedDowntimeMs === null ? '' : summary.outcome === 'met' ? 'good' : 'bad';
  const tile = (label: string, value: string, sub: string, style = ''): Html =>
    html`<div class="tile ${style}"><dt>${label}</dt><dd><span class="value">${value}</span> <span class="sub">${sub}</span></dd></div>`;
  const untouched = summary.capPercentMin === null;
  const capText = summary.capRestored
    ? untouched
      ? `its own, ${showXenCap(summary.capBefore)}, was left alone`
      : `its own, ${showXenCap(summary.capBefore)}, is back`
    : 'CAP NOT RESTORED';
  return html`<div><dl class="tiles">
${tile('Downtime', summary.observedDowntimeMs === null ? 'none' : showMs(summary.observedDowntimeMs), `target ${showMs(summary.targetDowntimeMs)}, ${off}`, tone)}
${tile('Guest gap, at most', showMs(summary.guestGapBoundMs), `longest stall while throttled ${showMs(summary.stallMaxMs)}`)}
${tile('Lost work', showSeconds(summary.lostWorkSeconds), `of CPU time, throttled for ${showSeconds(summary.throttledSeconds)}`)}
${tile('Lowest cap', untouched ? 'not set' : showXenCap(summary.capPercentMin), capText, summary.capRestored ? '' : 'bad')}
${tile('Time', showSeconds(summary.totalSeconds), `${showCount(summary.rounds)} rounds`)}
${tile('Sent', showBytes(summary.bytesSent), summary.lastDirtyPages === null ? 'guest never suspended' : `${showPagesBytes(summary.lastDirtyPages)} of it while it stood`)}
</dl>
<div class="card strip-card"><h3>Predicted against observed downtime</h3>${strip(summary, stripScale([summary]), 480)}
<p class="key"><span class="swatch s-target"></span>target ${showMs(summary.targetDowntimeMs)} <span class="swatch s-predicted"></span>predicted ${showRange(summary.predictedDowntimeRangeMs)} <span class="swatch ${tone === 'bad' ? 's-bad' : 's-good'}"></span>observed ${summary.observedDowntimeMs === null ? 'none' : showMs(summary.observedDowntimeMs)}</p></div></div>`;
}

function charts(index: number): Html {
  const figure = (kind: string, title: string, text: string, key: readonly (readonly [string, string])[]): Html =>
    html`<figure class="chart" data-chart="${kind}" data-run="${index}">
<figcaption><strong>${title}</strong> ${text}</figcaption>
<div class="plot" role="img" aria-label="${title} ${text} The table of rounds below holds the numbers."></div>
<p class="key">${key.map(([swatch, label]) => html`<span class="item"><span class="swatch ${swatch}"></span>${label}</span> `)}<span class="readout" aria-hidden="true"></span></p>
</figure>`;
  return html`<div class="charts">
${figure('dirty', 'Dirty set and target.', 'What the guest dirtied in each round, against what may be left for the target. Logarithmic.', [
  ['s-dirty', 'dirty set'],
  ['s-dot', 'at the end of a round'],
  ['s-target', 'fits the target'],
])}
${figure('downtime', 'Predicted downtime.', 'If the guest were suspended then, with its range. Logarithmic.', [
  ['s-predicted', 'predicted, with range'],
  ['s-target', 'target'],
  ['s-observed', 'observed'],
])}
${figure('cap', 'Cap and stall.', 'What the guest may use, and how long it may stand still for that.', [
  ['s-cap', 'cap, % of one pCPU'],
  ['s-floor', 'floor of the cap'],
  ['s-stall', 'longest stall, ms'],
])}
${figure('rates', 'Rates.', 'The migration converges while the link carries more than the guest dirties.', [
  ['s-dirty', 'dirty rate, by round'],
  ['s-rate', 'transfer rate'],
])}
</div>
<noscript><p class="card">The charts need JavaScript; all numbers are in the tables.</p></noscript>`;
}

const DECISIONS_MAX = 400;

function decisions(story: Story): Html {
  const acts = story.decisions.filter(({ decision }) => changesSomething(decision));
  const holds = story.decisions.reduce((sum, { decision, times }) => sum + (changesSomething(decision) ? 0 : times), 0);
  const left =
    acts.length > DECISIONS_MAX ? ` The last ${acts.length - DECISIONS_MAX} are left out here; explain and replay show them.` : '';
  return html`<div class="card"><h3>Decisions</h3>
<p class="sub">${acts.length === 0 ? 'Nothing was changed.' : ''} ${acts.length === 0 ? 'It' : 'Besides these it'} held ${showCount(holds)} times.${left}${story.start.observe ? ' Observe only: none was carried out.' : ''}</p>
${acts.length === 0 ? undefined : table('Decisions', ['At', 'Round', 'Decision', 'Why', 'Predicted downtime'], acts.slice(0, DECISIONS_MAX).map(decisionCells), [0, 1, 4])}
</div>`;
}

const decisionCells = ({ atMs, round, decision }: StoryDecision): readonly (Html | string)[] => [
  showMs(atMs),
  showCount(round),
  html`<span class="act a-${decision.action}">${showAction(decision)}</span>`,
  safeText(decision.reason.text),
  showRange(decision.forecast?.downtimeMs),
];

const ROUNDS_MAX = 400;

function rounds(story: Story): Html {
  const rows = story.rounds
    .slice(0, ROUNDS_MAX)
    .map((round) => [
      showCount(round.round),
      showMs(round.startMs),
      round.endMs === undefined ? 'not ended' : showMs(round.endMs - round.startMs),
      `${showCount(round.pagesToSend)} = ${showPagesBytes(round.pagesToSend)}`,
      round.pagesDirtied === undefined ? '-' : `${showCount(round.pagesDirtied)} = ${showPagesBytes(round.pagesDirtied)}`,
      showBytesRate(round.dirtyRate === undefined ? undefined : round.dirtyRate * PAGE_BYTES),
      showBytesRate(round.transferRate),
      showXenCap(round.cap),
    ]);
  return html`<div class="card"><h3>Rounds</h3>${table('Rounds', ['Round', 'At', 'Took', 'Pages to send', 'Pages dirtied', 'Dirty rate', 'Transfer rate', 'Lowest cap'], rows, [0, 1, 2, 3, 4, 5, 6, 7])}</div>`;
}

function table(name: string, head: readonly string[], rows: readonly (readonly (Html | string)[])[], numeric: readonly number[]): Html {
  const kind = (i: number): string => (numeric.includes(i) ? 'n' : head[i] === 'Why' ? 'why' : '');
  return html`<div class="scroll" tabindex="0" role="group" aria-label="${name}"><table>
<thead><tr>${head.map((text, i) => html`<th scope="col" class="${kind(i)}">${text}</th>`)}</tr></thead>
<tbody>${rows.map((cells) => html`<tr>${cells.map((cell, i) => html`<td class="${kind(i)}">${cell}</td>`)}</tr>`)}</tbody>
</table></div>`;
}

function troubles(story: Story): Html | undefined {
  const items = [
    ...story.notes.map((note) => html`<li class="t-${note.level}"><strong>${note.level}</strong> ${safeText(note.text)}</li>`),
    ...story.failures.map(
      ({ atMs, value }) =>
        html`<li class="t-error"><strong>${value.action} failed</strong> at ${showMs(atMs)}: ${safeText(value.error ?? 'no reason given')}</li>`,
    ),
  ];
  return items.length === 0 ? undefined : html`<div class="card trouble"><h3>Notes and trouble</h3><ul>${items}</ul></div>`;
}

function details(story: Story): Html {
  const { goal } = story;
  const { capabilities, domain } = goal;
  const latencies = [...story.callLatenciesMs].sort((a, b) => a - b);
  const settings: readonly (readonly [string, string])[] = [
    ['Domain', `${safeText(domain.name)}, domid ${domain.domid}, UUID ${safeText(domain.uuid)}`],
    ['Memory and vCPUs', `${showPagesBytes(domain.populatedPages)}, ${domain.vcpus} vCPUs of which ${domain.activeVcpus} share the cap`],
    ['Target', `${showMs(goal.targetDowntimeMs)}, stalls at most ${showMs(goal.maxStallMs)}, on a miss ${goal.onMiss}`],
    ['Cap', `floor ${goal.capFloorPercent} %, ceiling ${goal.capCeilingPercent} %`],
    ['Scheduler', `${capabilities.scheduler}, timeslice ${showMs(capabilities.tsliceMs)}`],
    ['Rounds at most', capabilities.roundsMax === undefined ? 'no limit' : String(capabilities.roundsMax)],
    ['Seen inside rounds', capabilities.peek ? 'dirty count' : 'nothing: the rounds alone'],
    ['Fixed cost of a switch-over', `${showRange(goal.overheadMs)}; until the guest stands ${showRange(goal.suspendLatencyMs)}`],
    ...(latencies.length === 0
      ? []
      : [
          [
            'Calls',
            `${latencies.length}, median ${showMs(latencies[Math.floor(latencies.length / 2)])}, longest ${showMs(latencies.at(-1))}`,
          ] as const,
        ]),
    ['Trace', safeText(story.source)],
    ['Migration', safeText(story.start.id)],
  ];
  const list = (pairs: readonly (readonly [string, string])[]): Html =>
    html`<dl class="pairs">${pairs.map(([label, text]) => html`<dt>${label}</dt><dd>${text}</dd>`)}</dl>`;
  return html`<details class="card"><summary>All figures and settings</summary>
${story.summary === undefined ? undefined : html`<h3>Figures</h3>${list(summaryRows(story.summary))}`}
<h3>Settings</h3>${list(settings)}</details>`;
}
