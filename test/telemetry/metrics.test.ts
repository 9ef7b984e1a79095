import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { capped } from '../../src/core/cap.ts';
import type { MigrationRecord } from '../../src/core/record.ts';
import { ms, PAGE_BYTES, WIRE_BYTES_PER_PAGE } from '../../src/core/units.ts';
import { timedPeeks } from '../../src/telemetry/collect-host.ts';
import { createMetrics, type Metrics } from '../../src/telemetry/metrics.ts';
import { LEARNED_REASONS, REASONS } from '../../src/telemetry/reasons.ts';
import { type Exposition, parseExposition } from './exposition.ts';
import { migration, start, summary } from './records.ts';

const create = (now = () => 1_700_000_000_000, more = {}): Metrics => createMetrics({ version: '1.2.3', now, ...more });
const scrape = async (metrics: Metrics): Promise<Exposition> => parseExposition(await metrics.text());
const until = (records: Iterable<MigrationRecord>, stop: (record: MigrationRecord) => boolean): MigrationRecord[] => {
  const all: MigrationRecord[] = [];
  for (const record of records) {
    all.push(record);
    if (stop(record)) break;
  }
  return all;
};
const feed = (metrics: Metrics, records: Iterable<MigrationRecord>): void => {
  for (const record of records) metrics.sink.write(record);
};
const at = (page: Exposition, key: string): number | undefined => page.series.get(`xthrottle_${key}`);

describe('a migration under way', () => {
  const half = () => until(migration('a', 'vm1'), (r) => r.type === 'decision' && r.atMs === 6521);

  it('shows round, rates, cap, speed, prediction and ETA in base units', async () => {
    const metrics = create();
    feed(metrics, half());
    const page = await scrape(metrics);
    const gauge = (name: string) => at(page, `migration_${name}{domain="vm1"}`);
    expect(gauge('running')).toBe(1);
    expect(gauge('round')).toBe(1);
    expect(gauge('round_pages')).toBe(8000);
    expect(gauge('round_bytes')).toBe(8000 * PAGE_BYTES);
    expect(gauge('remaining_pages')).toBeCloseTo(2000);
    expect(gauge('dirty_rate_bytes_per_second')).toBeCloseTo((1500 / 1.501) * PAGE_BYTES, -1);
    expect(gauge('cap_pcpus')).toBe(0.5);
    expect(gauge('cap_ceiling_pcpus')).toBe(2);
    expect(gauge('cap_floor_pcpus')).toBe(0.13);
    expect(gauge('speed_ratio')).toBeCloseTo(0.5 / 1.6, 2);
    expect(gauge('stall_seconds')).toBeCloseTo(0.15);
    expect(gauge('stall_limit_seconds')).toBe(0.5);
    expect(gauge('target_downtime_seconds')).toBe(0.5);
    expect([
      gauge('predicted_downtime_low_seconds'),
      gauge('predicted_downtime_seconds'),
      gauge('predicted_downtime_high_seconds'),
    ]).toEqual([0.25, 0.33, 0.4]);
    expect(gauge('eta_seconds')).toBe(2);
    expect(gauge('target_feasible')).toBe(1);
    expect(gauge('throttled_seconds')).toBeCloseTo(1.5);
    expect(gauge('withheld_cpu_seconds')).toBeGreaterThan(0);
    expect(at(page, 'migrations_running')).toBe(1);
    expect(at(page, 'migration_info{domain="vm1",controller="proportional",mode="control",host="simulated",on_miss="abort"}')).toBe(1);
  });

  it("counts what round 0 has left by bytes, not by the p2m's frames", async () => {
    const metrics = create();
    feed(
      metrics,
      until(migration('a', 'vm1'), (r) => r.type === 'decision' && r.atMs === 3000),
    );
    expect(at(await scrape(metrics), 'migration_remaining_pages{domain="vm1"}')).toBe(32_768 - 16_384);
  });

  it('has no series for what is not known', async () => {
    const metrics = create();
    feed(metrics, [start('a', 'vm1')]);
    const page = await scrape(metrics);
    expect(at(page, 'migration_running{domain="vm1"}')).toBe(1);
    expect(at(page, 'migration_round{domain="vm1"}')).toBeUndefined();
    expect(at(page, 'migration_predicted_downtime_seconds{domain="vm1"}')).toBeUndefined();
  });

  it('says that a suspended guest has no speed', async () => {
    const metrics = create();
    feed(
      metrics,
      until(migration('a', 'vm1'), (r) => r.type === 'decision' && r.atMs === 7040),
    );
    expect(at(await scrape(metrics), 'migration_speed_ratio{domain="vm1"}')).toBe(0);
  });
});

describe('migrations that ended', () => {
  it('are counted with downtime, its error, its range and its reason', async () => {
    const metrics = create();
    feed(metrics, migration('a', 'vm1'));
    feed(metrics, [start('b', 'vm2'), summary('b', 'vm2', { outcome: 'missed', observedDowntimeMs: 1000 })]);
    const page = await scrape(metrics);
    expect(at(page, 'migrations_total{result="met"}')).toBe(1);
    expect(at(page, 'migrations_total{result="missed"}')).toBe(1);
    expect(at(page, 'migrations_total{result="aborted"}')).toBe(0);
    expect(at(page, 'migration_ends_total{result="met",reason="fits"}')).toBe(1);
    expect(at(page, 'migration_ends_total{result="missed",reason="none"}')).toBe(1);
    expect(at(page, 'downtime_seconds_count')).toBe(2);
    expect(at(page, 'downtime_seconds_bucket{le="0.3"}')).toBe(1);
    expect(at(page, 'downtime_prediction_error_ratio_bucket{le="0.1"}')).toBe(1);
    expect(at(page, 'downtime_prediction_error_ratio_sum')).toBeCloseTo(0.1 + 0.67);
    expect(at(page, 'downtime_predictions_total{result="within"}')).toBe(1);
    expect(at(page, 'downtime_predictions_total{result="above"}')).toBe(1);
    expect(at(page, 'downtime_target_ratio_bucket{le="1"}')).toBe(1);
    expect(at(page, 'decisions_total{action="grant",reason="fits"}')).toBe(1);
    expect(at(page, 'effects_total{action="set-cap",result="applied"}')).toBe(1);
    expect(at(page, 'cap_change_duration_seconds_sum')).toBeCloseTo(0.02);
    expect(at(page, 'rounds_total')).toBe(4);
    expect(at(page, 'migrations_running')).toBe(0);
    expect(at(page, 'last_migration_result{domain="vm2",result="missed"}')).toBe(1);
    expect(at(page, 'last_migration_downtime_seconds{domain="vm1"}')).toBe(0.3);
    expect(at(page, 'last_migration_end_timestamp_seconds{domain="vm1"}')).toBe(1_700_000_000);
  });

  it('leave fleet counters that agree with their summaries', async () => {
    const metrics = create();
    feed(metrics, migration('a', 'vm1'));
    feed(metrics, migration('b', 'vm2'));
    const page = await scrape(metrics);
    expect(at(page, 'sent_bytes_total')).toBe(2 * 42_768 * WIRE_BYTES_PER_PAGE);
    const each = at(page, 'migration_throttled_seconds{domain="vm1"}') as number;
    expect(at(page, 'throttled_seconds_total')).toBeCloseTo(2 * each, 1);
    expect(at(page, 'cap_restores_total{result="restored"}')).toBe(2);
  });

  it('go after a while; the counters stay', async () => {
    let now = 1_000_000;
    const metrics = create(() => now);
    feed(metrics, migration('a', 'vm1'));
    now += 599_999;
    expect((await metrics.text()).includes('domain="vm1"')).toBe(true);
    now += 1;
    const page = await metrics.text();
    expect(page.includes('domain=')).toBe(false);
    expect(page).toContain('xthrottle_migrations_total{result="met"} 1');
  });

  it('stay while their cap is not back', async () => {
    let now = 1_000_000;
    const metrics = create(() => now);
    feed(metrics, [start('a', 'vm1'), summary('a', 'vm1', { capRestored: false })]);
    now += 10_000_000;
    let page = await scrape(metrics);
    expect(at(page, 'cap_restored{domain="vm1"}')).toBe(0);
    expect(at(page, 'cap_restores_total{result="failed"}')).toBe(1);
    metrics.onRestore({ domain: 'vm1', restored: true });
    page = await scrape(metrics);
    expect(at(page, 'cap_restored{domain="vm1"}')).toBe(1);
    now += 600_000;
    expect(at(await scrape(metrics), 'cap_restored{domain="vm1"}')).toBeUndefined();
  });

  it('count a failed restore once, though effect and summary both say it', async () => {
    const metrics = create();
    feed(metrics, [
      start('a', 'vm1'),
      { type: 'effect', id: 'a', atMs: ms(1), action: 'restore', result: 'failed', error: 'gone' },
      summary('a', 'vm1', { capRestored: false }),
    ]);
    expect(at(await scrape(metrics), 'cap_restores_total{result="failed"}')).toBe(1);
  });

  it('keep the newer migration of a domain when the older one ends late', async () => {
    const metrics = create();
    feed(metrics, [start('old', 'vm1'), start('new', 'vm1'), summary('old', 'vm1', { outcome: 'failed' })]);
    const page = await scrape(metrics);
    expect(at(page, 'migration_running{domain="vm1"}')).toBe(1);
    expect(at(page, 'migrations_total{result="failed"}')).toBe(1);
  });
});

describe('labels', () => {
  it('are bounded: domains beyond the limit count in the fleet only, idle ones make room', async () => {
    const metrics = create(undefined, { domainsMax: 2 });
    feed(metrics, [start('a'), start('b'), start('c')]);
    feed(metrics, [summary('a'), summary('b'), summary('c')]);
    let page = await scrape(metrics);
    expect(at(page, 'domains_dropped_total')).toBe(1);
    expect(at(page, 'migrations_total{result="met"}')).toBe(3);
    expect(at(page, 'last_migration_rounds{domain="c"}')).toBeUndefined();
    feed(metrics, [start('d')]);
    page = await scrape(metrics);
    expect(at(page, 'migration_running{domain="d"}')).toBe(1);
    expect(at(page, 'last_migration_rounds{domain="a"}')).toBeUndefined();
  });

  it('take unknown reasons of a user in bounded number, and never one with odd characters', async () => {
    const metrics = create();
    feed(metrics, [start('a')]);
    for (let i = 0; i < 200; i++) {
      metrics.sink.write({
        type: 'decision',
        id: 'a',
        atMs: ms(i),
        decision: { action: 'hold', reason: { code: `own-${i}`, text: '', numbers: {} } },
      });
    }
    metrics.sink.write({
      type: 'decision',
      id: 'a',
      atMs: ms(1),
      decision: { action: 'hold', reason: { code: 'A "b"\n', text: '', numbers: {} } },
    });
    const page = await scrape(metrics);
    const reasons = [...page.series.keys()].filter((key) => key.startsWith('xthrottle_decisions_total'));
    expect(reasons).toHaveLength(LEARNED_REASONS + 1);
    expect(at(page, 'decisions_total{action="hold",reason="other"}')).toBe(201 - LEARNED_REASONS);
  });

  it('survive any domain name, and never hold a domid or a uuid', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 300 }), async (name) => {
        const metrics = create();
        feed(metrics, migration('x', name));
        const text = await metrics.text();
        expect(() => parseExposition(text)).not.toThrow();
        expect(text).not.toContain('domid');
        expect(text).not.toContain('00000000-0000-4000-8000');
      }),
      { numRuns: 30 },
    );
  });

  it('have room for every reason code of our own sources, twice over', () => {
    const sources = ['src/core', 'controllers', 'src'].flatMap((dir) =>
      readdirSync(dir)
        .filter((file) => file.endsWith('.ts'))
        .map((file) => readFileSync(`${dir}/${file}`, 'utf8')),
    );
    const used = new Set(sources.flatMap((text) => [...text.matchAll(/\bbecause\(\s*'([a-z0-9-]+)'/g)].map((match) => match[1] as string)));
    expect(used.size).toBeGreaterThan(5);
    expect([...used].filter((code) => !/^[a-z][a-z0-9-]{0,39}$/.test(code))).toEqual([]);
    expect([...used].filter((code) => !REASONS.includes(code)).length).toBeLessThan(LEARNED_REASONS / 2);
  });
});

describe('the exposition', () => {
  it('follows the conventions: prefix, HELP, TYPE, suffixes, base units', async () => {
    const metrics = create();
    feed(metrics, migration('a', 'vm1'));
    const page = await scrape(metrics);
    for (const { name, help } of metrics.definitions()) {
      expect(name).toMatch(/^(xthrottle|process)_[a-z0-9_]+$/);
      expect(help).toMatch(/\.$/);
      expect(page.types.get(name), name).toMatch(/^(counter|gauge|histogram)$/);
      expect(page.helps.get(name)).toBe(help);
      expect(name.endsWith('_total'), name).toBe(page.types.get(name) === 'counter');
      expect(name).not.toMatch(/_(ms|milliseconds|percent|kb|mib)(_|$)/);
      if (page.types.get(name) === 'histogram') expect(name).toMatch(/_(seconds|ratio)$/);
    }
  });

  it('tells of xl, relays, peeks and the build', async () => {
    const metrics = create();
    metrics.onXlCall({ command: 'sched-credit', ms: 12, ok: true });
    metrics.onXlCall({ command: 'rm -rf', ms: 1, ok: false });
    metrics.onXlCall({ command: 'migrate', ms: 60_000, ok: true });
    for (const event of ['connected', 'connected', 'disconnected', 'lost'] as const) metrics.onRelay(event);
    metrics.onPeek({ ms: 0.4, ok: true });
    metrics.onPeekAvailable(true);
    const page = await scrape(metrics);
    expect(at(page, 'xl_calls_total{command="sched-credit",result="ok"}')).toBe(1);
    expect(at(page, 'xl_calls_total{command="other",result="failed"}')).toBe(1);
    expect(at(page, 'xl_call_duration_seconds_count{command="migrate"}')).toBeUndefined();
    expect(at(page, 'relays_connected')).toBe(1);
    expect(at(page, 'relay_connections_total')).toBe(2);
    expect(at(page, 'relay_failures_total{kind="lost"}')).toBe(1);
    expect(at(page, 'peek_duration_seconds_sum')).toBeCloseTo(0.0004);
    expect(at(page, 'peek_available')).toBe(1);
    expect(at(page, `build_info{version="1.2.3",node="${process.versions.node}"}`)).toBe(1);
  });

  it('counts the relay of a migration as connected until its end, and as lost when that is unknown', async () => {
    const metrics = create();
    let end: (ending: { result: string }) => void = () => {};
    metrics.onMigration({
      ended: new Promise((resolve) => {
        end = resolve;
      }),
    });
    expect(at(await scrape(metrics), 'relays_connected')).toBe(1);
    end({ result: 'unknown' });
    metrics.onMigration({ ended: Promise.resolve({ result: 'migrated' }) });
    metrics.onMigration({ ended: Promise.reject(new Error('broken')) });
    await new Promise((resolve) => setImmediate(resolve));
    const page = await scrape(metrics);
    expect(at(page, 'relays_connected')).toBe(0);
    expect(at(page, 'relay_connections_total')).toBe(3);
    expect(at(page, 'relay_failures_total{kind="lost"}')).toBe(2);
  });

  it('times looks at the dirty count without changing them', async () => {
    const metrics = create();
    const library = { name: 'xc', dirtyPages: (domid: number): number | undefined => (domid === 1 ? 42 : undefined) };
    const timed = timedPeeks(library, metrics.onPeek);
    expect([timed.name, timed.dirtyPages(1), timed.dirtyPages(2)]).toEqual(['xc', 42, undefined]);
    const page = await scrape(metrics);
    expect(at(page, 'peeks_total{result="ok"}')).toBe(1);
    expect(at(page, 'peeks_total{result="failed"}')).toBe(1);
    expect(at(page, 'peek_duration_seconds_count')).toBe(2);
  });

  it('leaves for a job the series of its domain, and no other', async () => {
    const metrics = create();
    feed(metrics, migration('a', 'vm1'));
    feed(metrics, migration('b', 'vm2'));
    const page = parseExposition(await metrics.finalText('vm1'));
    expect(page.series.size).toBeGreaterThan(10);
    for (const key of page.series.keys()) expect(key).toContain('domain="vm1"');
  });

  it('counts a record that makes no sense instead of throwing', async () => {
    const metrics = create();
    feed(metrics, [start('a')]);
    const broken = {
      type: 'decision',
      id: 'a',
      atMs: ms(1),
      decision: { action: 'set-cap', cap: capped(5) },
    } as unknown as MigrationRecord;
    expect(() => metrics.sink.write(broken)).not.toThrow();
    expect(at(await scrape(metrics), 'records_unreadable_total')).toBe(1);
  });

  it('never lets a counter go down, whatever is written in whatever order', async () => {
    const records = [...migration('a', 'vm1'), ...migration('b', 'vm2'), ...migration('c', 'vm1')];
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray(records), async (some) => {
        const metrics = create();
        let before = new Map<string, number>();
        for (let i = 0; i < some.length; i += 7) {
          feed(metrics, some.slice(i, i + 7));
          const page = await scrape(metrics);
          const counters = new Map(
            [...page.series].filter(([key]) => {
              const name = key.replace(/\{.*/, '');
              return page.types.get(name) === 'counter' || page.types.get(name.replace(/_(bucket|count|sum)$/, '')) === 'histogram';
            }),
          );
          for (const [key, value] of before) expect(counters.get(key), key).toBeGreaterThanOrEqual(value);
          before = counters;
        }
      }),
      { numRuns: 20 },
    );
  });
});
