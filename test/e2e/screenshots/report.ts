import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser } from 'playwright-core';
import { DEFAULT_CONTROLLER } from '../../../controllers/registry.ts';
import { report } from '../../../src/view/report.ts';
import { simulated, traceOf } from '../../trace/runs.ts';

const SCENARIO = 'busy-database';
/** What `npm run demo` shows. */
const SEED = 1;

/** `xthrottle report` of the demo's migration, and of it beside stock Xen's. */
export async function reportPictures(browser: Browser, folder: string): Promise<void> {
  const ours = await traceOf(simulated(SCENARIO, DEFAULT_CONTROLLER, SEED));
  const stock = await traceOf(simulated(SCENARIO, 'none', SEED));
  const pages = [
    { name: 'report-light', html: report([ours]), colorScheme: 'light', width: 1240, height: 1500 },
    { name: 'report-dark', html: report([stock, ours]), colorScheme: 'dark', width: 1240, height: 1100 },
    { name: 'report-narrow', html: report([ours]), colorScheme: 'light', width: 390, height: 1100 },
  ] as const;
  const scratch = mkdtempSync(join(tmpdir(), 'xthrottle-report-'));
  try {
    for (const { name, html, colorScheme, width, height } of pages) {
      const path = join(scratch, `${name}.html`);
      writeFileSync(path, html);
      const page = await browser.newPage({ colorScheme, viewport: { width, height } });
      await page.goto(pathToFileURL(path).href);
      // Charts are drawn when they come into sight.
      await page.locator('figure.chart canvas').first().waitFor();
      await page.waitForTimeout(500);
      await page.screenshot({ path: join(folder, `${name}.png`) });
      await page.close();
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
