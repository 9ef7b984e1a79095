import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { none } from '../../controllers/none.ts';
import { proportional } from '../../controllers/proportional.ts';
import { controllerByName, DEFAULT_CONTROLLER } from '../../controllers/registry.ts';
import { generated } from '../../grafana/build/generate.ts';
import { ruleGroups } from '../../grafana/build/rules.ts';
import { rulesYaml } from '../../grafana/build/yaml.ts';
import type { Controller } from '../../src/core/controller.ts';
import type { OnMiss } from '../../src/core/goal.ts';
import type { SummaryRecord } from '../../src/core/record.ts';
import type { Migration } from '../../src/host.ts';
import { control } from '../../src/loop.ts';
import { goalOf, suggestedOptions } from '../../src/sim/run.ts';
import { loadScenario } from '../../src/sim/scenario-files.ts';
import { SimHost } from '../../src/sim/sim-host.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { type MetricsServer, startMetricsServer } from '../../src/telemetry/server.ts';
import { substitute } from '../grafana/promql.ts';
import { eventually, type Prometheus, requireProgram, startPrometheus } from './prometheus-server.ts';

/** Shipped durations over this: ten minutes become five seconds. */
const DIVIDE = 120;
const EVERY = '250ms';
const VARIABLES = { $__rate_interval: '3s', $__range: '5m', $__interval: '1s', $instance: '.*', $domain: '.*' };

interface PanelJson {
  readonly title?: string;
  readonly targets?: readonly { readonly expr: string }[];
}

const files = generated();
const panelExpressions = Object.entries(files)
  .filter(([path]) => path.endsWith('.json'))
  .flatMap(([path, text]) =>
    (JSON.parse(text) as { readonly panels: readonly PanelJson[] }).panels.flatMap((panel) =>
      (panel.targets ?? []).map(({ expr }) => ({ where: `${path}: ${panel.title}`, expr: substitute(expr, VARIABLES) })),
    ),
  );
const rules = ruleGroups(DIVIDE, EVERY).flatMap((group) => group.rules);
const ruleExpressions = rules.map((rule) => ({ where: 'record' in rule ? rule.record : rule.alert, expr: rule.expr }));
const alertNames = rules.flatMap((rule) => ('alert' in rule ? [rule.alert] : []));

const metrics = createMetrics({ version: '0.0.0-test' });
let server: MetricsServer;
let prometheus: Prometheus;
let summaries: readonly SummaryRecord[] = [];

beforeAll(async () => {
  requireProgram('promtool');
  server = await startMetricsServer({ listen: { host: '127.0.0.1', port: 0 }, text: metrics.text });
  const config = readFileSync('grafana/prometheus.yml', 'utf8')
    .replaceAll(/(_interval): \d+s/g, `$1: ${EVERY}`)
    .replace('rules/xthrottle.rules.yml', 'rules.yml')
    .replace('127.0.0.1:9464', `127.0.0.1:${server.address.port}`);
  prometheus = await startPrometheus({ 'prometheus.yml': config, 'rules.yml': rulesYaml(ruleGroups(DIVIDE, EVERY)) });
});
afterAll(async () => {
  await prometheus?.stop();
  await server?.close();
});

/** A simulated migration in accelerated real time, under the real loop. */
function migrate(scenarioName: string, controller: Controller, onMiss: OnMiss, pace: number, wrap = (m: Migration): Migration => m) {
  const scenario = loadScenario(scenarioName);
  const [migration] = new SimHost({ runs: [{ scenario, seed: 1 }], pace }).migrations;
  if (migration === undefined) throw new Error('no migration');
  const goal = goalOf(migration.world, { ...suggestedOptions(scenario), onMiss });
  return control(wrap(migration), { controller, goal, sink: metrics.sink });
}

const but = (m: Migration, differently: Partial<Migration>): Migration => ({
  id: m.id,
  host: m.host,
  domain: m.domain,
  capabilities: m.capabilities,
  observations$: m.observations$,
  ended: m.ended,
  now: () => m.now(),
  apply: (decision, observation, superseded) => m.apply(decision, observation, superseded),
  abort: (reason) => m.abort(reason),
  restoreCap: () => m.restoreCap(),
  ...differently,
});

/** The same migration on a host whose cap can't be put back. */
const stuckCap = (m: Migration): Migration =>
  but(m, { restoreCap: async () => ({ restored: false, capAfter: 45, hint: 'xl sched-credit -d files -c 0' }) });

/** … and one whose relay had no answer of ours in time. */
const withoutLeave = (m: Migration): Migration => but(m, { ended: m.ended.then((ending) => ({ ...ending, failOpen: true as const })) });

const alertsNow = async (): Promise<readonly { readonly name: string; readonly state: string; readonly domain: string | undefined }[]> => {
  const { alerts } = await prometheus.api<{ alerts: readonly { labels: Record<string, string>; state: string }[] }>('alerts');
  return alerts.map(({ labels, state }) => ({ name: labels['alertname'] ?? '', state, domain: labels['domain'] }));
};
const everFired = async (): Promise<ReadonlySet<string>> => {
  const fired = await prometheus.query('count by (alertname) (count_over_time(ALERTS{alertstate="firing"}[10m]))');
  return new Set(fired.map(({ metric }) => metric['alertname'] ?? ''));
};

/** Beside the test, not in its way: the server it runs is being scraped. */
const promtool = (args: readonly string[], input = ''): Promise<{ readonly status: number; readonly said: string }> =>
  new Promise((resolve) => {
    const child = execFile(requireProgram('promtool'), args, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code), said: `${stdout}${stderr}` });
    });
    child.stdin?.end(input);
  });

describe('the shipped rules and configuration, by promtool', () => {
  it('pass check and their unit tests', async () => {
    for (const args of [
      ['check', 'config', 'grafana/prometheus.yml'],
      ['check', 'rules', 'grafana/rules/xthrottle.rules.yml'],
      ['test', 'rules', 'grafana/rules/xthrottle.test.yml'],
    ]) {
      expect(await promtool(args), args.join(' ')).toMatchObject({ status: 0 });
    }
  });

  it('the exposition passes the linter', async () => {
    expect(await promtool(['check', 'metrics'], await metrics.text())).toEqual({ status: 0, said: '' });
  });
});

describe('a real Prometheus', () => {
  it('scrapes us, and no alert fires while nothing happens', async () => {
    await eventually(
      async () => ((await prometheus.query('count_over_time(up{job="xthrottle"}[1m]) > 8')).length > 0 ? true : undefined),
      () => 'no scrapes',
    );
    expect((await prometheus.query('max_over_time(up{job="xthrottle"}[1m])')).map(({ value }) => value[1])).toEqual(['1']);
    expect(await alertsNow()).toEqual([]);
  });

  it('sees migrations: every expression has data, every alert fires and resolves', async () => {
    let trouble = false;
    const calls = setInterval(() => {
      metrics.onXlCall({ command: 'sched-credit', ms: 12, ok: !trouble });
      metrics.onPeek({ ms: 0.3, ok: true });
    }, 50);
    metrics.onPeekAvailable(true);
    const missing = new Map([...panelExpressions, ...ruleExpressions].map((item) => [item.expr, item.where]));
    const look = async (): Promise<void> => {
      for (const expr of missing.keys()) {
        if ((await prometheus.query(expr)).length > 0) missing.delete(expr);
      }
    };
    let over = false;
    const ends = Promise.all([
      migrate('hopeless', proportional, 'abort', 60),
      migrate('busy-database', none, 'proceed', 4, withoutLeave),
      migrate('hot-cold', controllerByName(DEFAULT_CONTROLLER), 'proceed', 4),
      migrate('dma-heavy', proportional, 'proceed', 4, stuckCap),
    ]).finally(() => {
      over = true;
    });
    metrics.onRelay('connected');
    await sleep(2000);
    trouble = true;
    metrics.onRelay('lost');
    metrics.onRelay('disconnected');
    for (let i = 0; i < 400 && !over; i++) {
      await look();
      await sleep(200);
    }
    summaries = await ends;
    trouble = false;
    expect(summaries.map(({ outcome }) => outcome).slice(0, 2)).toEqual(['aborted', 'missed']);

    const { port, host } = server.address;
    await server.close();
    await eventually(
      async () => ((await alertsNow()).some(({ name, state }) => name === 'XthrottleDown' && state === 'firing') ? true : undefined),
      () => 'XthrottleDown does not fire',
    );
    server = await startMetricsServer({ listen: { host, port }, text: metrics.text });
    await eventually(
      async () => {
        await look();
        return missing.size === 0 ? true : undefined;
      },
      () => `never returned data:\n${[...missing].map(([expr, where]) => `${where}: ${expr}`).join('\n')}`,
    );
    await eventually(
      async () =>
        (await alertsNow()).some(({ name, domain }) => name === 'XthrottleCapNotRestored' && domain === 'files') ? true : undefined,
      () => 'XthrottleCapNotRestored does not fire',
    );
    metrics.onRestore({ domain: 'files', restored: true });
    await eventually(
      async () => ((await alertsNow()).length === 0 ? true : undefined),
      () => 'alerts do not resolve',
    );
    clearInterval(calls);
    expect([...(await everFired())].sort()).toEqual([...alertNames].sort());
    const stuck = await prometheus.query('count_over_time(ALERTS{alertname="XthrottleNoProgressAtFloor",alertstate="firing"}[10m])');
    expect(stuck.map(({ metric }) => metric['domain'])).toContain('analytics');
  });

  it('found no counter that went down', async () => {
    const counters = metrics.definitions().flatMap(({ name, type }) => {
      if (type === 'histogram') return ['_bucket', '_sum', '_count'].map((suffix) => name + suffix);
      return type === 'counter' ? [name] : [];
    });
    expect(counters.length).toBeGreaterThan(20);
    for (const counter of counters) {
      expect(Number((await prometheus.query(`max(count_over_time(${counter}[10m]))`))[0]?.value[1]), counter).toBeGreaterThan(20);
      expect(await prometheus.query(`resets(${counter}[10m]) > 0`), counter).toEqual([]);
    }
  });

  it('found no fault in any rule, and nothing dropped or doubled in any scrape', async () => {
    const { groups } = await prometheus.api<{
      groups: readonly { rules: readonly { name: string; health: string; lastError?: string }[] }[];
    }>('rules');
    const state = groups.flatMap((group) => group.rules);
    expect(state).toHaveLength(rules.length);
    expect(state.filter(({ health }) => health !== 'ok')).toEqual([]);
    const { activeTargets } = await prometheus.api<{ activeTargets: readonly { lastError: string; health: string }[] }>('targets');
    expect(activeTargets).toMatchObject([{ health: 'up', lastError: '' }]);
    const dropped = await prometheus.query(
      'scrape_samples_scraped{job="xthrottle"} - scrape_samples_post_metric_relabeling{job="xthrottle"}',
    );
    expect(dropped.map(({ value }) => value[1])).toEqual(['0']);
  });

  it('was given an exposition that the linter passes, and a text file for each domain', async () => {
    for (const text of [await metrics.text(), ...(await Promise.all(summaries.map(({ domain }) => metrics.finalText(domain))))]) {
      expect(text).toContain('xthrottle_last_migration_duration_seconds{domain=');
      expect(await promtool(['check', 'metrics'], text)).toEqual({ status: 0, said: '' });
    }
  });

  it('stores how migrations ended as the summary says', async () => {
    const results = await prometheus.query('last_over_time(xthrottle_migrations_total[1m])');
    const counted = Object.fromEntries(results.map(({ metric, value }) => [metric['result'], Number(value[1])]));
    const outcomes = (outcome: string): number => summaries.filter((summary) => summary.outcome === outcome).length;
    expect(summaries).toHaveLength(4);
    expect(counted).toEqual(
      Object.fromEntries(['met', 'missed', 'aborted', 'failed', 'released'].map((outcome) => [outcome, outcomes(outcome)])),
    );
    const sent = await prometheus.query('last_over_time(xthrottle_sent_bytes_total[1m])');
    expect(Number(sent[0]?.value[1])).toBe(summaries.reduce((sum, { bytesSent }) => sum + bytesSent, 0));
    expect(
      (await prometheus.query('last_over_time(xthrottle_migration_ends_total{result="aborted",reason="misses-abort"}[1m])'))[0]?.value[1],
    ).toBe('1');
  });
});
