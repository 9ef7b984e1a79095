import { lastValueFrom, tap, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { because, capped, type Decision, type Observation } from '../../src/core/index.ts';
import type { Migration } from '../../src/host.ts';
import { loadScenario, scenarioOf } from '../../src/sim/scenario-files.ts';
import { SimHost } from '../../src/sim/sim-host.ts';

const reason = because('test', 'for the test');
const hold: Decision = { action: 'hold', reason };

/** Answers every observation at once, as the loop does; gives what was seen. */
const follow = (migration: Migration, decide: (o: Observation) => Decision = () => hold): Promise<readonly Observation[]> =>
  lastValueFrom(
    migration.observations$.pipe(
      tap((o) => void migration.apply(decide(o), o, false)),
      toArray(),
    ),
  );

const host = (pace?: number, ...names: readonly string[]): SimHost =>
  new SimHost({
    runs: (names.length === 0 ? ['idle'] : names).map((name) => ({ scenario: loadScenario(name), seed: 3 })),
    ...(pace === undefined ? {} : { pace }),
  });
const first = (h: SimHost): Migration => h.migrations[0] as Migration;

describe('the simulated host', () => {
  it('waits with the next observation until the last one is answered', async () => {
    const migration = first(host());
    const seen: Observation[] = [];
    const subscription = migration.observations$.subscribe((o) => seen.push(o));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(seen).toHaveLength(1);
    const now = migration.now();
    await migration.apply(hold, seen[0] as Observation, false);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(seen).toHaveLength(2);
    expect(migration.now()).toBeGreaterThan(now);
    subscription.unsubscribe();
    expect((await migration.ended).result).toBe('unknown');
  });

  it('ends with the downtime of the simulation, and an idle guest is one that can go', async () => {
    const migration = first(host());
    const seen = await follow(migration);
    expect(seen.at(-1)?.type).toBe('complete');
    expect(await migration.ended).toMatchObject({ result: 'migrated', downtimeSource: 'simulated', downtimeMs: expect.any(Number) });
  });

  it('stays when the suspension is denied, and puts the cap back', async () => {
    const migration = first(host(undefined, 'busy-database'));
    await follow(migration, (o) => {
      if (o.type === 'suspend-request') return { action: 'deny', reason };
      return o.type === 'round-start' && o.round === 1 ? { action: 'set-cap', cap: capped(90), reason } : hold;
    });
    expect((await migration.ended).result).toBe('stayed');
    expect(await migration.restoreCap()).toEqual({ restored: true, capAfter: 0 });
    expect(await migration.restoreCap()).toEqual({ restored: true, capAfter: 0 });
  });

  it('can be aborted from outside, also in the middle of a paced wait', async () => {
    const migration = first(host(0.001));
    const done = follow(migration);
    await new Promise((resolve) => setTimeout(resolve, 30));
    await migration.abort('asked by a person');
    expect((await done).map((o) => o.type)).not.toContain('complete');
    expect(await migration.ended).toEqual({ result: 'stayed', reason: 'asked by a person' });
  });

  it('lets real time pass in step with virtual time when a pace is given', async () => {
    const startedAtMs = performance.now();
    const migration = first(host(50));
    await follow(migration);
    const virtualMs = migration.now();
    expect(performance.now() - startedAtMs).toBeGreaterThan((0.9 * virtualMs) / 50);
  });

  it('runs several migrations at a time, each a domain of its own', async () => {
    const h = host(undefined, 'idle', 'busy-database', 'hot-cold');
    await Promise.all(h.migrations.map((m) => follow(m)));
    expect(new Set(h.migrations.map((m) => m.domain.domid)).size).toBe(3);
    expect(new Set(h.migrations.map((m) => m.domain.uuid)).size).toBe(3);
    for (const m of h.migrations) expect((await m.ended).result).toBe('migrated');
  });
});

describe('the switch-over', () => {
  const parked = scenarioOf({
    description: 'mostly parked',
    domain: { memoryMib: 256, cpuDemandPercent: 100 },
    classes: [{ name: 'heap', pages: 20_000, writesPerSecond: 8000 }],
    link: { bytesPerSecond: 4e7 },
    suspend: { timeMs: 10, sd: 0 },
    resume: { timeMs: 40, sd: 0 },
    host: { roundLimit: 3, liftLatencyMs: 1 },
  });
  const at = (percent: number, runFirstMs: number, lifts = true) => {
    const h = new SimHost({ runs: [1, 2, 3, 4, 5, 6].map((seed) => ({ scenario: parked, seed, options: { lifts } })) });
    return Promise.all(
      h.migrations.map(async (m) => {
        await follow(m, (o) => {
          if (o.type === 'suspend-request')
            return runFirstMs > 0 ? { action: 'grant', runFirstMs: runFirstMs as never, reason } : { action: 'grant', reason };
          return o.type === 'round-start' && o.round === 1 ? { action: 'set-cap', cap: capped(percent), reason } : hold;
        });
        return m.world.truth();
      }),
    );
  };
  const most = (values: readonly (number | null)[]): number => Math.max(...values.map((v) => v ?? 0));

  it('joins the last stall and the downtime into one gap, unless the guest runs first', async () => {
    const joined = await at(8, 0);
    const apart = await at(8, 30);
    expect(joined.some((t) => (t.switchOverGapMs ?? 0) > (t.downtimeMs ?? 0) + 20)).toBe(true);
    for (const t of apart) expect(t.switchOverGapMs).toBeLessThanOrEqual(t.downtimeMs ?? 0);
  });

  it('takes longer when the cap is kept, for a parked guest cannot answer', async () => {
    const lifted = await at(10, 0);
    const kept = await at(10, 0, false);
    expect(most(kept.map((t) => t.downtimeMs))).toBeGreaterThan(most(lifted.map((t) => t.downtimeMs)));
  });
});
