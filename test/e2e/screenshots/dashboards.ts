import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser } from 'playwright-core';
import { controllerByName, DEFAULT_CONTROLLER } from '../../../controllers/registry.ts';
import { generated } from '../../../grafana/build/generate.ts';
import type { OnMiss } from '../../../src/core/goal.ts';
import { control } from '../../../src/loop.ts';
import { goalOf, suggestedOptions } from '../../../src/sim/run.ts';
import { loadScenario } from '../../../src/sim/scenario-files.ts';
import { SimHost } from '../../../src/sim/sim-host.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { startMetricsServer } from '../../../src/telemetry/server.ts';
import { startPrometheus } from '../prometheus-server.ts';
import { drawable, type PanelJson } from './panels.ts';

const EVERY = '250ms';

interface Run {
  readonly scenario: string;
  readonly controller: string;
  readonly onMiss: OnMiss;
  /** Virtual seconds per second. */
  readonly pace: number;
}

/** A little evacuation: what the fleet's dashboard shows. The first one is looked at closely. */
const RUNS: readonly Run[] = [
  { scenario: 'busy-database', controller: DEFAULT_CONTROLLER, onMiss: 'abort', pace: 1 },
  { scenario: 'hot-cold', controller: DEFAULT_CONTROLLER, onMiss: 'abort', pace: 2 },
  { scenario: 'web-server', controller: DEFAULT_CONTROLLER, onMiss: 'abort', pace: 2 },
  { scenario: 'dma-heavy', controller: 'none', onMiss: 'proceed', pace: 4 },
  { scenario: 'hopeless', controller: DEFAULT_CONTROLLER, onMiss: 'abort', pace: 5 },
];
/** Runs on while the pictures are taken. */
const STILL_RUNNING: Run = { scenario: 'analytics-1t', controller: DEFAULT_CONTROLLER, onMiss: 'abort', pace: 4 };

/** Both dashboards' panels with what a real Prometheus answers to their expressions: not Grafana's own drawing, but its data and layout. */
export async function dashboardPictures(browser: Browser, folder: string): Promise<void> {
  const metrics = createMetrics({ version: (JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }).version });
  const server = await startMetricsServer({ listen: { host: '127.0.0.1', port: 0 }, text: metrics.text });
  const config = readFileSync('grafana/prometheus.yml', 'utf8')
    .replaceAll(/(_interval): \d+s/g, `$1: ${EVERY}`)
    .replace(/rule_files:\n( +- .*\n)+/, '')
    .replace('127.0.0.1:9464', `127.0.0.1:${server.address.port}`);
  const prometheus = await startPrometheus({ 'prometheus.yml': config });
  const start = ({ scenario: name, controller, onMiss, pace }: Run) => {
    const scenario = loadScenario(name);
    const host = new SimHost({ runs: [{ scenario, seed: 1 }], pace });
    const [migration] = host.migrations;
    if (migration === undefined) throw new Error('no migration');
    metrics.onMigration(migration);
    const goal = goalOf(migration.world, { ...suggestedOptions(scenario), onMiss });
    return { host, done: control(migration, { controller: controllerByName(controller), goal, sink: metrics.sink }) };
  };
  try {
    await sleep(3000);
    const startedAt = Date.now();
    const last = start(STILL_RUNNING);
    const summaries = await Promise.all(RUNS.map((run) => start(run).done));
    await sleep(1500);
    const domain = summaries[0]?.domain ?? '';
    const range = { start: startedAt / 1000 - 1, end: Date.now() / 1000 };
    for (const [path, text] of Object.entries(generated())) {
      const name = /xthrottle-(\w+)\.json$/.exec(path)?.[1];
      if (name === undefined) continue;
      const { title, panels } = JSON.parse(text) as { readonly title: string; readonly panels: readonly PanelJson[] };
      await shoot(browser, join(folder, `dashboard-${name}.png`), title, await drawable(panels, prometheus, { ...range, domain }));
    }
    await last.host.close();
    await last.done;
  } finally {
    await prometheus.stop();
    await server.close();
  }
}

async function shoot(browser: Browser, path: string, title: string, panels: Awaited<ReturnType<typeof drawable>>): Promise<void> {
  const uplot = (file: string) => readFileSync(createRequire(import.meta.url).resolve(`uplot/dist/${file}`), 'utf8');
  const own = (file: string) => readFileSync(join('test/e2e/screenshots', file), 'utf8');
  const data = JSON.stringify({ title, panels }).replaceAll('<', '\\u003c');
  const page = await browser.newPage({ viewport: { width: 1300, height: 900 }, deviceScaleFactor: 1 });
  await page.setContent(
    `<!doctype html><meta charset="utf-8"><style>${uplot('uPlot.min.css')}${own('page.css')}</style><body><main></main>
     <script type="application/json" id="data">${data}</script><script>${uplot('uPlot.iife.min.js')}</script><script>${own('page.cjs')}</script>`,
  );
  await page.locator('main[data-drawn]').waitFor();
  await page.screenshot({ path, fullPage: true });
  await page.close();
}
