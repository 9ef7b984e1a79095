import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { DEFAULT_CONTROLLER } from '../../../controllers/registry.ts';
import type { MigrationRecord } from '../../../src/core/record.ts';
import { foldLive, initialLive } from '../../../src/view/live-model.ts';
import { render } from '../../../src/view/live-render.ts';
import { simulated } from '../../trace/runs.ts';

const SCREEN = { columns: 118, rows: 36 };
/** Two that run and one that has ended by then. */
const SCENARIOS = ['busy-database', 'hot-cold', 'idle'] as const;
const AT_MS = 28_000;

/** The live view in the middle of several simulated migrations, as text and as a terminal shows it. */
export async function livePictures(browser: Browser, folder: string): Promise<void> {
  const records = SCENARIOS.flatMap((name) => until(simulated(name, DEFAULT_CONTROLLER, 1), AT_MS)).sort((a, b) => a.atMs - b.atMs);
  let model = initialLive;
  for (const { record } of records) model = foldLive(model, record);
  writeFileSync(
    join(folder, 'live.txt'),
    `${render(model, { ...SCREEN, color: false })
      .map((line) => line.trimEnd())
      .join('\n')}\n`,
  );
  const page = await browser.newPage({ viewport: { width: 1010, height: 700 }, deviceScaleFactor: 1 });
  await page.setContent(terminal(render(model, { ...SCREEN, color: true })));
  await page.locator('pre').screenshot({ path: join(folder, 'live.png') });
  await page.close();
}

/** Records with their time; what has none of its own belongs to the one before. */
function until(records: readonly MigrationRecord[], endMs: number): readonly { readonly atMs: number; readonly record: MigrationRecord }[] {
  let atMs = 0;
  const timed = records.map((record) => {
    if (record.type === 'observation') atMs = record.observation.atMs;
    else if ('atMs' in record) atMs = record.atMs;
    return { atMs, record };
  });
  return timed.filter((one) => one.atMs <= endMs);
}

const STYLES: Readonly<Record<string, string>> = {
  '1': 'font-weight:bold',
  '2': 'opacity:.6',
  '31': 'color:#ff7b72',
  '32': 'color:#56d364',
  '33': 'color:#e3b341',
  '34': 'color:#79c0ff',
  '35': 'color:#d2a8ff',
  '36': 'color:#56d4dd',
};
const CLOSING = new Set(['0', '22', '39']);

/** A screen's lines with their colours as a page. */
function terminal(lines: readonly string[]): string {
  const text = lines.join('\n').replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours of a terminal are such.
  const body = text.replace(/\u001b\[(\d+)m/g, (_, code: string) => {
    if (CLOSING.has(code)) return '</span>';
    const style = STYLES[code];
    if (style === undefined) throw new Error(`no picture of SGR ${code}`);
    return `<span style="${style}">`;
  });
  const drawn = body.replace(/[\u2800-\u28ff]/g, dots);
  return `<body style="margin:0"><pre style="margin:0;padding:14px 18px;display:inline-block;background:#0d1117;color:#e6edf3;font:14px/1.2 'DejaVu Sans Mono',monospace">${drawn}</pre></body>`;
}

/** A braille character drawn as its dots: few fonts have them in the width of the rest. */
function dots(character: string): string {
  const pattern = (character.codePointAt(0) ?? 0) - 0x2800;
  const places = [0, 1, 2, 6, 3, 4, 5, 7];
  const circles = places.flatMap((bit, i) =>
    (pattern >> bit) % 2 === 1 ? [`<circle cx="${3 + 4 * Math.floor(i / 4)}" cy="${2 + 4 * (i % 4)}" r="1.5"/>`] : [],
  );
  return `<svg viewBox="1 0 8 16" preserveAspectRatio="none" style="width:1ch;height:1.2em;vertical-align:top;fill:currentColor">${circles.join('')}</svg>`;
}
