import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { assetPath } from '../assets.ts';
import type { MigrationTrace } from '../trace/read.ts';
import { storyOf } from '../trace/story.ts';
import { type Html, html, jsonForScript, ownMarkup } from './html.ts';
import { compareSection } from './report-compare.ts';
import { runData } from './report-data.ts';
import { badge, runSection, titleOf } from './report-run.ts';
import { safeText } from './text.ts';

export interface ReportOptions {
  /** What the reader had to tolerate, from `readTrace`. */
  readonly notes?: readonly string[];
}

/**
 * One self-contained page about one or several migrations: opens offline, asks nothing of any server (its Content-Security-Policy forbids
 * it), and runs no script and no style but its own, whatever the traces contain.
 */
export function report(traces: readonly MigrationTrace[], options: ReportOptions = {}): string {
  const stories = traces.map(storyOf);
  const [only] = stories;
  const title = stories.length === 1 && only !== undefined ? `Live migration of ${titleOf(only)}` : `${stories.length} live migrations`;
  const style = `${uplot('uplot.css', 'uPlot.min.css')}\n${own('page.css')}`;
  const script = `${uplot('uplot.cjs', 'uPlot.iife.min.js')}\n${own('page.cjs')}`;
  const policy = `default-src 'none'; script-src '${hashOf(script)}'; style-src '${hashOf(style)}'; base-uri 'none'; form-action 'none'`;
  const notes = options.notes ?? [];
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${ownMarkup(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} · xthrottle</title>
<style>${ownMarkup(style)}</style>
</head>
<body>
<main>
<header><p class="brand">xthrottle report</p><h1>${title} ${stories.length === 1 ? badge(only?.summary) : undefined}</h1></header>
${notes.length === 0 ? undefined : html`<aside class="card trouble" aria-label="About the traces"><ul>${notes.map((note) => html`<li>${safeText(note)}</li>`)}</ul></aside>`}
${stories.length > 1 ? compareSection(stories) : undefined}
${stories.map((story, i) => runSection(story, i, stories.length === 1))}
</main>
<script type="application/json" id="data">${jsonForScript({ runs: stories.map(runData) })}</script>
<script>${ownMarkup(script)}</script>
</body>
</html>
`;
  return (page satisfies Html).markup;
}

const hashOf = (text: string): string => `sha256-${createHash('sha256').update(text).digest('base64')}`;

/** Our own script and style; `.cjs`, so that build and bundle take it for an asset and not for a module of ours. */
const own = (name: string): string => embeddable(assetPath(`src/view/assets/${name}`));

/** uPlot's: copied beside ours where the build did so, else from its package. */
function uplot(copied: string, original: string): string {
  const path = assetPath(`src/view/assets/${copied}`);
  return embeddable(existsSync(path) ? path : createRequire(import.meta.url).resolve(`uplot/dist/${original}`));
}

/** What stands inside <script> and <style> must not end them. */
const embeddable = (path: string): string =>
  readFileSync(path, 'utf8')
    .trim()
    .replace(/<\/(script|style)/gi, '<\\/$1');
