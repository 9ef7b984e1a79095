import { readdirSync, readFileSync } from 'node:fs';
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { describe, expect, it } from 'vitest';
import { generated } from '../../grafana/build/generate.ts';
import { createMetrics } from '../../src/telemetry/metrics.ts';
import { parsePromql, substitute } from './promql.ts';

const read = (path: string): string => readFileSync(`grafana/${path}`, 'utf8');
const files = generated();
const dashboards = Object.keys(files)
  .filter((path) => path.startsWith('dashboards/'))
  .map((path) => [path, JSON.parse(read(path)) as Dashboard] as const);

interface AnyPanel {
  readonly id?: number;
  readonly type: string;
  readonly title?: string;
  readonly description?: string;
  readonly datasource?: { readonly uid?: string };
  readonly gridPos?: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
  readonly targets?: readonly { readonly expr: string; readonly refId: string; readonly legendFormat?: string }[];
}
const panelsOf = (dashboard: Dashboard): readonly AnyPanel[] => (dashboard.panels ?? []) as readonly AnyPanel[];

const rules = [...read('rules/xthrottle.rules.yml').matchAll(/- (record|alert): (\S+)\n\s+expr: \|-\n\s+(.*)\n/g)].map(
  ([, , name, expr]) => ({ name: name as string, expr: expr as string }),
);
const expressions = [
  ...dashboards.flatMap(([path, dashboard]) =>
    panelsOf(dashboard).flatMap((panel) => (panel.targets ?? []).map(({ expr }) => ({ where: `${path}: ${panel.title}`, expr }))),
  ),
  ...rules.map(({ name, expr }) => ({ where: name, expr })),
];

describe('what is committed', () => {
  it.each(Object.keys(files))('%s is current (npm run grafana)', (path) => {
    expect(read(path)).toBe(files[path]);
  });

  it('has no file that nothing generates', () => {
    expect(
      readdirSync('grafana/dashboards')
        .map((name) => `dashboards/${name}`)
        .sort(),
    ).toEqual(dashboards.map(([path]) => path).sort());
  });
});

describe('expressions', () => {
  const known = new Map(
    createMetrics({ version: '0' })
      .definitions()
      .map((metric) => [metric.name, metric]),
  );
  const recorded = new Set(rules.filter(({ name }) => name.includes(':')).map(({ name }) => name));
  const definitionOf = (name: string) => {
    const base = known.get(name) ?? known.get(name.replace(/_(bucket|sum|count)$/, ''));
    return base === undefined || (base.name !== name && base.type !== 'histogram') ? undefined : base;
  };

  it('are many, and the reader of them finds errors', () => {
    expect(expressions.length).toBeGreaterThan(60);
    expect(rules).toHaveLength(13);
    expect(parsePromql('sum(rate(x[5m])').errors).not.toEqual([]);
    expect(parsePromql('a{b="c"} / on (d) e').selectors).toEqual([
      { metric: 'a', labels: ['b'] },
      { metric: 'e', labels: [] },
    ]);
  });

  it.each(expressions)('$where: $expr parses, and names only metrics and labels that exist', ({ expr }) => {
    const { errors, selectors, grouping } = parsePromql(substitute(expr));
    expect(errors).toEqual([]);
    expect(selectors.length).toBeGreaterThan(0);
    const everywhere = ['instance', 'job', 'le'];
    const allowed = new Set(everywhere);
    for (const { metric, labels } of selectors) {
      if (metric === 'up') continue;
      if (recorded.has(metric)) {
        for (const label of ['domain', 'result']) allowed.add(label);
        continue;
      }
      const found = definitionOf(metric);
      expect(found, `no metric ${metric}`).toBeDefined();
      const own = found?.labels ?? [];
      for (const label of own) allowed.add(label);
      for (const label of labels) expect([...own, ...everywhere], `${metric}{${label}}`).toContain(label);
      expect(found?.type === 'histogram', `${metric} needs _bucket, _sum or _count`).toBe(metric !== found?.name);
    }
    for (const label of grouping) expect([...allowed]).toContain(label);
  });

  it('take counters by their increase, never as they stand', () => {
    for (const { expr, where } of expressions) {
      for (const counter of expr.matchAll(/(xthrottle_\w+_(?:total|bucket|sum|count))/g)) {
        const before = expr.slice(0, counter.index);
        expect(before, where).toMatch(/(rate|increase)\($/);
      }
    }
  });

  it('leave out no metric: each is shown, alerted on, or process bookkeeping', () => {
    const used = expressions.map(({ expr }) => expr).join('\n');
    const unused = [...known.keys()].filter((name) => !used.includes(name));
    expect(unused.sort()).toEqual([
      'process_start_time_seconds',
      'xthrottle_domains_dropped_total',
      'xthrottle_effects_total',
      'xthrottle_migration_duration_seconds',
      'xthrottle_migration_remaining_pages',
      'xthrottle_migration_round_pages',
      'xthrottle_migrations_started_total',
      'xthrottle_records_unreadable_total',
      'xthrottle_relay_connections_total',
      'xthrottle_rounds_total',
    ]);
  });
});

describe.each(dashboards)('%s', (_, dashboard) => {
  const panels = panelsOf(dashboard);
  const real = panels.filter((panel) => panel.type !== 'row');

  it('has a stable uid and the datasource as a variable, nowhere a fixed one', () => {
    expect(dashboard.uid).toMatch(/^xthrottle-(migration|fleet)$/);
    expect(dashboard.templating?.list?.[0]).toMatchObject({ name: 'datasource', type: 'datasource', query: 'prometheus' });
    for (const panel of real) expect(panel.datasource?.uid, panel.title).toBe('$datasource');
    expect(dashboard.id ?? null).toBeNull();
  });

  it('has panels that say what they show, in which unit', () => {
    expect(real.length).toBeGreaterThan(10);
    for (const panel of real) {
      expect(panel.description, panel.title).toMatch(/\.$/);
      expect(panel.targets?.length, panel.title).toBeGreaterThan(0);
      if (panel.type !== 'table') expect(panel.fieldConfig?.defaults.unit, panel.title).toBeTruthy();
      const refs = panel.targets?.map(({ refId }) => refId) ?? [];
      expect(new Set(refs).size).toBe(refs.length);
    }
    const ids = panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('has panels side by side: none hangs over the edge or another', () => {
    const taken = new Set<string>();
    for (const { gridPos, title } of panels) {
      const { x, y, w, h } = gridPos ?? { x: 0, y: 0, w: 0, h: 0 };
      expect(x + w, title).toBeLessThanOrEqual(24);
      for (let column = x; column < x + w; column++) {
        for (let row = y; row < y + h; row++) {
          const cell = `${column},${row}`;
          expect(taken.has(cell), `${title} at ${cell}`).toBe(false);
          taken.add(cell);
        }
      }
    }
  });
});
