import type { Story } from '../trace/story.ts';
import { type Html, html } from './html.ts';
import { showBytes, showCount, showMs, showSeconds, showXenCap } from './human.ts';
import { anchorOf, badge, labelOf, titleOf } from './report-run.ts';
import { strip, stripScale } from './report-strip.ts';
import { safeText } from './text.ts';
import { showTarget } from './words.ts';

/** Several runs beside each other: a table with the downtimes drawn to one scale, and their dirty sets in one chart. */
export function compareSection(stories: readonly Story[]): Html {
  const scale = stripScale(stories.flatMap(({ summary }) => (summary === undefined ? [] : [summary])));
  return html`<section class="card" aria-labelledby="compare">
<h2 id="compare">${stories.length} runs compared</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Comparison of the runs">
<table class="compare">
<thead><tr><th scope="col">Run</th><th scope="col">Outcome</th><th scope="col">Downtime <span class="under">to one scale, 0 to ${showMs(scale)}</span></th>
<th scope="col" class="n">Target</th><th scope="col" class="n">Predicted</th><th scope="col" class="n">Observed</th><th scope="col" class="n">Guest gap</th>
<th scope="col" class="n">Rounds</th><th scope="col" class="n">Time</th><th scope="col" class="n">Sent</th><th scope="col" class="n">Lowest cap</th><th scope="col" class="n">Lost work</th></tr></thead>
<tbody>${stories.map((story, i) => compareRow(story, i, scale))}</tbody>
</table>
</div>
<p class="key"><span class="swatch s-target"></span>target <span class="swatch s-predicted"></span>predicted, with its range <span class="swatch s-good"></span>observed, within the target <span class="swatch s-bad"></span>observed, over it</p>
<figure class="chart" data-chart="compare">
<figcaption><strong>Dirty set at the end of each round.</strong> All runs. Logarithmic.</figcaption>
<div class="plot" role="img" aria-label="Dirty set of all runs over time; the tables of rounds below hold the numbers"></div>
<p class="key runs">${stories.map((story, i) => html`<span class="run"><span class="swatch r${i % RUN_COLORS}"></span>${labelOf(story)}</span> `)}</p>
</figure>
</section>`;
}

const RUN_COLORS = 6;

function compareRow(story: Story, index: number, scale: number): Html {
  const { summary } = story;
  const name = html`<th scope="row" class="name"><a href="#${anchorOf(index)}">${titleOf(story)}</a><span class="under">${safeText(story.start.controller)}</span></th>`;
  if (summary === undefined) return html`<tr>${name}<td>${badge(undefined)}</td><td colspan="10">The end was not recorded.</td></tr>`;
  const cells = [
    showTarget(summary),
    showMs(summary.predictedDowntimeMs),
    summary.observedDowntimeMs === null ? 'none' : showMs(summary.observedDowntimeMs),
    showMs(summary.guestGapBoundMs),
    showCount(summary.rounds),
    showSeconds(summary.totalSeconds),
    showBytes(summary.bytesSent),
    summary.capPercentMin === null ? 'never' : showXenCap(summary.capPercentMin),
    showSeconds(summary.lostWorkSeconds),
  ];
  return html`<tr>${name}<td>${badge(summary)}</td><td>${strip(summary, scale)}</td>${cells.map((text) => html`<td class="n">${text}</td>`)}</tr>`;
}
