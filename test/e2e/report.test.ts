import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { AxeBuilder } from '@axe-core/playwright';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MigrationRecord } from '../../src/core/record.ts';
import { report } from '../../src/view/report.ts';
import { simulated, traceOf } from '../trace/runs.ts';
import { openBrowser } from './browser.ts';

const LOOKS = [
  { name: 'light', colorScheme: 'light', width: 1240 },
  { name: 'dark', colorScheme: 'dark', width: 1240 },
  { name: 'narrow', colorScheme: 'light', width: 390 },
] as const;

let browser: Browser;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'report-'));
  browser = await openBrowser();
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Opened {
  readonly page: Page;
  /** Errors and warnings on the console, thrown errors, and requests for anything but the page itself. */
  readonly complaints: string[];
}

async function open(html: string, look: (typeof LOOKS)[number] = LOOKS[0]): Promise<Opened> {
  const path = join(folder, `${look.name}.html`);
  writeFileSync(path, html);
  const context = await browser.newContext({ colorScheme: look.colorScheme, viewport: { width: look.width, height: 900 } });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('dialog', (dialog) => {
    complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  const url = pathToFileURL(path).href;
  page.on('request', (request) => {
    if (request.url() !== url) complaints.push(`request: ${request.url()}`);
  });
  await page.goto(url);
  return { page, complaints };
}

/** Charts are drawn when they come into sight. */
async function scrollThrough(page: Page): Promise<void> {
  const figures = await page.locator('figure.chart').count();
  for (let i = 0; i < figures; i++) {
    const figure = page.locator('figure.chart').nth(i);
    await figure.scrollIntoViewIfNeeded();
    await figure.locator('canvas, .empty').first().waitFor();
  }
  await page.evaluate('scrollTo(0, 0)');
}

/** Colours that really were drawn: how many differ within a chart's canvas. Runs in the page, whose types are not ours. */
const colorsIn = (page: Page, kind: string): Promise<number> =>
  page.evaluate<number>(`(() => {
    const canvas = document.querySelector('figure[data-chart="${kind}"] canvas');
    if (canvas === null) return 0;
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) seen.add((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]);
    return seen.size;
  })()`);

const violationsOf = async (page: Page): Promise<readonly string[]> => {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(' ')}`);
};

describe('the report of one migration in a real browser', () => {
  it.each(LOOKS)('is accessible, silent and fits the window: $name', async (look) => {
    const { page, complaints } = await open(report([await traceOf(simulated('busy-database', 'proportional'))]), look);
    await scrollThrough(page);
    for (const kind of ['dirty', 'downtime', 'cap', 'rates']) expect(await colorsIn(page, kind), kind).toBeGreaterThan(3);
    expect(await violationsOf(page)).toEqual([]);
    const [content, window] = await page.evaluate<[number, number]>('[document.documentElement.scrollWidth, innerWidth]');
    expect(content).toBe(window);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  it('follows the pointer with numbers, and the window with its charts', async () => {
    const { page, complaints } = await open(report([await traceOf(simulated('busy-database', 'proportional'))]));
    await scrollThrough(page);
    const chart = page.locator('figure[data-chart="dirty"]');
    await chart.locator('.u-over').hover();
    await expect.poll(() => chart.locator('.readout').textContent()).toMatch(/s: dirty set [\d.]+ [KMG]iB/);
    const before = await chart.locator('canvas').evaluate((canvas) => canvas.clientWidth);
    await page.setViewportSize({ width: 500, height: 900 });
    await expect.poll(() => chart.locator('canvas').evaluate((canvas) => canvas.clientWidth)).not.toBe(before);
    await page.emulateMedia({ colorScheme: 'dark' });
    await expect.poll(() => colorsIn(page, 'dirty')).toBeGreaterThan(3);
    expect(complaints).toEqual([]);
    await page.context().close();
  });
});

describe('the report of several migrations', () => {
  it.each(LOOKS)('compares them: $name', async (look) => {
    const runs = [simulated('busy-database', 'none'), simulated('busy-database', 'proportional'), simulated('hopeless', 'proportional')];
    const { page, complaints } = await open(report(await Promise.all(runs.map(traceOf))), look);
    await scrollThrough(page);
    expect(await page.locator('table.compare tbody tr').count()).toBe(3);
    expect(await colorsIn(page, 'compare')).toBeGreaterThan(2);
    expect(await violationsOf(page)).toEqual([]);
    expect(complaints).toEqual([]);
    await page.context().close();
  });
});

describe('hostile traces', () => {
  it('show as text and run nothing', async () => {
    const evil = '</script><script>alert(1)</script><img src=x onerror=alert(2)>"\'><svg onload=alert(3)>';
    const records = simulated('idle', 'none').map((record): MigrationRecord => {
      if (record.type === 'start') {
        return {
          ...record,
          id: evil,
          controller: evil,
          scenario: evil,
          goal: { ...record.goal, domain: { ...record.goal.domain, name: evil, uuid: evil } },
        };
      }
      if (record.type === 'decision')
        return {
          ...record,
          id: evil,
          decision: { ...record.decision, action: 'abort', reason: { ...record.decision.reason, text: evil } },
        };
      return record.type === 'summary' ? { ...record, id: evil, domain: evil, reason: evil, controller: evil } : { ...record, id: evil };
    });
    records.splice(1, 0, { type: 'note', id: evil, level: 'error', text: evil });
    const { page, complaints } = await open(report([await traceOf(records)], { notes: [evil] }));
    await scrollThrough(page);
    expect(await page.locator('h1').textContent()).toContain(evil);
    expect(await page.locator('img, svg[onload]').count()).toBe(0);
    expect(await page.locator('script').count()).toBe(2);
    expect(complaints).toEqual([]);
    await page.context().close();
  });
});
