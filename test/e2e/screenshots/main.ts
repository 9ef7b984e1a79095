import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { openBrowser } from '../browser.ts';
import { dashboardPictures } from './dashboards.ts';
import { livePictures } from './live.ts';
import { reportPictures } from './report.ts';

/**
 * `npm run screenshots [-- report|live|dashboards …]`: the pictures of the README, made of simulated migrations. Needs chromium and
 * prometheus. SCREENSHOTS names another folder.
 */
const FOLDER = process.env['SCREENSHOTS'] ?? 'grafana/screenshots';
const makers = { report: reportPictures, live: livePictures, dashboards: dashboardPictures };

const wanted = process.argv.slice(2);
mkdirSync(FOLDER, { recursive: true });
const browser = await openBrowser();
try {
  for (const [name, make] of Object.entries(makers)) if (wanted.length === 0 || wanted.includes(name)) await make(browser, FOLDER);
} finally {
  await browser.close();
}
for (const name of readdirSync(FOLDER)) console.log(`${join(FOLDER, name)}  ${Math.ceil(statSync(join(FOLDER, name)).size / 1024)} KiB`);
