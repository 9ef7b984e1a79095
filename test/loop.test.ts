import { concatMap, delay, from, NEVER, Observable, of, Subject } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { type Cap, capFromXen, capped, capToXen } from '../src/core/cap.ts';
import type { Controller } from '../src/core/controller.ts';
import { because, type Decision } from '../src/core/decision.ts';
import type { Observation } from '../src/core/observation.ts';
import type { MigrationRecord } from '../src/core/record.ts';
import { bytes, ms, pages } from '../src/core/units.ts';
import type { Ending, Migration } from '../src/host.ts';
import { type ControlOptions, control } from '../src/loop.ts';
import { capabilities, domainFacts, goal } from './core/fixtures.ts';

const reason = because('test', 'test');
const tick = (atMs: number): Observation => ({ type: 'tick', atMs: ms(atMs) });
const request: Observation = { type: 'suspend-request', atMs: ms(90), round: 4, bytesSent: bytes(1) };

/** One after the other, each when the last was carried out: as a quiet host reports. */
const spaced = (...list: readonly Observation[]): Observable<Observation> => from(list).pipe(concatMap((o) => of(o).pipe(delay(2))));

interface Script {
  readonly observations$: Observable<Observation>;
  readonly ending?: Ending;
  readonly applyMs?: number;
  readonly restoreFails?: boolean;
  readonly observeOnly?: string;
}

/** A migration that only writes down what is done to it. */
function scripted(script: Script) {
  const calls: string[] = [];
  const migration: Migration = {
    id: 'm1',
    host: 'simulated',
    domain: domainFacts(),
    capabilities: capabilities(),
    observations$: script.observations$,
    ...(script.observeOnly === undefined ? {} : { observeOnly: script.observeOnly }),
    ended: Promise.resolve(script.ending ?? { result: 'migrated', downtimeMs: ms(100), downtimeSource: 'simulated' }),
    now: () => ms(0),
    async apply(decision, _observation, superseded) {
      if (script.applyMs !== undefined) await new Promise((done) => setTimeout(done, script.applyMs));
      const cap = decision.action === 'set-cap' ? ` ${capToXen(decision.cap)}` : '';
      calls.push(`${decision.action}${cap}${superseded ? ' superseded' : ''}`);
      return { result: superseded ? 'superseded' : decision.action === 'hold' ? 'skipped' : 'applied' };
    },
    async abort(why) {
      calls.push(`abort migration: ${why}`);
    },
    async restoreCap() {
      calls.push('restore');
      if (script.restoreFails === true) throw new Error('xl hangs');
      return { restored: true, capAfter: 0 };
    },
  };
  return { migration, calls };
}

const caps = (list: readonly (number | 'throw')[]): Controller<number> => ({
  name: 'scripted',
  summary: 'test',
  initial: () => 0,
  decide(i, observation): readonly [number, Decision] {
    const next = list[i];
    if (next === 'throw') throw new Error('my bug');
    if (observation.type === 'suspend-request') return [i + 1, { action: 'grant', reason }];
    return [i + 1, next === undefined ? { action: 'hold', reason } : { action: 'set-cap', cap: capped(next), reason }];
  },
});

async function run(script: Script, controller: Controller, extra: Partial<ControlOptions> = {}) {
  const { migration, calls } = scripted(script);
  const records: MigrationRecord[] = [];
  const sink = { write: (record: MigrationRecord) => void records.push(record), close: async () => {} };
  const summary = await control(migration, { controller, goal: goal(), sink, ...extra });
  return { calls, records, summary };
}

describe('loop', () => {
  it('carries out one effect for each observation, in order, and puts the cap back at the end', async () => {
    const { calls, records } = await run({ observations$: spaced(tick(1), tick(2), request) }, caps([60, 30]));
    expect(calls).toEqual(['set-cap 60', 'set-cap 30', 'grant', 'restore']);
    const types = records.map((r) => r.type);
    expect([types[0], types.at(-1)]).toEqual(['start', 'summary']);
    expect(types.filter((type) => type === 'effect')).toHaveLength(4);
    expect(types.filter((type) => type === 'decision')).toHaveLength(3);
  });

  it('skips caps that a newer decision has overtaken while an effect was under way', async () => {
    const { calls } = await run({ observations$: of(tick(1), tick(2), tick(3), tick(4)), applyMs: 5 }, caps([80, 60, 40, 20]));
    expect(calls).toEqual(['set-cap 80', 'set-cap 60 superseded', 'set-cap 40 superseded', 'set-cap 20', 'restore']);
  });

  it('answers a suspend request at once, also while a cap change hangs', async () => {
    const { migration, calls } = scripted({ observations$: of(tick(1), tick(2), request) });
    const answered: string[] = [];
    let release: () => void = () => {};
    const hanging = new Promise<void>((resolve) => {
      release = resolve;
    });
    const apply = migration.apply.bind(migration);
    migration.apply = async (decision, observation, superseded) => {
      if (decision.action === 'set-cap') await hanging;
      if (decision.action === 'grant') {
        answered.push('granted');
        release();
      }
      return apply(decision, observation, superseded);
    };
    await control(migration, { controller: caps([60]), goal: goal(), sink: { write: () => {}, close: async () => {} } });
    expect(answered).toEqual(['granted']);
    expect(calls.at(-1)).toBe('restore');
  });

  it('puts the cap back when the host fails, and lets the failure through', async () => {
    const failing$ = new Observable<Observation>((out) => {
      out.next(tick(1));
      out.error(new Error('broken invariant'));
    });
    const { migration, calls } = scripted({ observations$: failing$ });
    await expect(
      control(migration, { controller: caps([50]), goal: goal(), sink: { write: () => {}, close: async () => {} } }),
    ).rejects.toThrow('broken invariant');
    expect(calls.at(-1)).toBe('restore');
  });

  it('says loudly when the cap could not be put back', async () => {
    const { summary, records } = await run({ observations$: of(tick(1)), restoreFails: true }, caps([50]));
    expect(summary.capRestored).toBe(false);
    expect(records).toContainEqual(
      expect.objectContaining({ type: 'note', level: 'error', text: expect.stringContaining('THE CAP WAS NOT RESTORED: xl hangs') }),
    );
  });

  it('a controller that throws ends steering: cap back, suspend granted as stock', async () => {
    const { calls, summary } = await run({ observations$: spaced(tick(1), tick(2), tick(3), request) }, caps([50, 'throw']));
    expect(calls).toEqual(['set-cap 50', 'uncap', 'hold', 'grant', 'restore']);
    expect(summary.outcome).toBe('met');
  });

  it('a controller that throws leaves the rounds to stock policy: they end', async () => {
    const query = (round: number): Observation => ({
      type: 'policy-query',
      atMs: ms(round),
      when: 'after',
      round,
      totalWritten: pages(1),
      bytesSent: bytes(1),
    });
    const { calls } = await run(
      { observations$: spaced(query(5), query(6)) },
      {
        ...caps([]),
        decide: () => {
          throw new Error('my bug');
        },
      },
    );
    expect(calls).toEqual(['uncap', 'stop-and-copy', 'restore']);
  });

  it('abort: ends the migration, sets no further cap and denies a suspend request that still comes', async () => {
    const abort$ = new Subject<string>();
    const observations$ = spaced(tick(1), tick(2), request).pipe(
      concatMap(async (o) => {
        if (o.atMs === 2) abort$.next('SIGINT');
        return o;
      }),
    );
    const { calls, summary } = await run({ observations$, ending: { result: 'stayed' } }, caps([50, 40]), { abort$ });
    expect(calls).toEqual(['set-cap 50', 'abort migration: SIGINT', 'hold', 'deny', 'restore']);
    expect(summary).toMatchObject({ outcome: 'aborted', reason: 'SIGINT' });
  });

  it('does not claim that the guest stayed when nobody knows where it is', async () => {
    const ending: Ending = { result: 'unknown', reason: 'xl was lost in the hand-over' };
    const { summary } = await run({ observations$: spaced(tick(1)), ending }, caps([]), { abort$: of('SIGINT') });
    expect(summary).toMatchObject({ outcome: 'failed', reason: 'xl was lost in the hand-over' });
  });

  it('observe: decides and records, but carries out what stock Xen would do', async () => {
    const denying: Controller<number> = {
      ...caps([50]),
      decide: (i, o) => (o.type === 'suspend-request' ? [i, { action: 'deny', reason }] : caps([50]).decide(i, o, goal())),
    };
    const { calls, records } = await run({ observations$: spaced(tick(1), request) }, denying, { observe: true });
    expect(calls).toEqual(['hold', 'grant', 'restore']);
    expect(records.flatMap((r) => (r.type === 'decision' ? [r.decision.action] : []))).toEqual(['set-cap', 'deny']);
    expect(records.flatMap((r) => (r.type === 'effect' ? [`${r.action} ${r.result}`] : []))).toEqual([
      'set-cap skipped',
      'deny skipped',
      'restore applied',
    ]);
  });

  it('where nothing may be changed an abort is only thought of: the outcome is that of the migration', async () => {
    const aborting: Controller<number> = { ...caps([]), decide: (i) => [i, { action: 'abort', reason }] };
    const ending: Ending = { result: 'stayed', reason: 'the link broke' };
    const script = { observations$: spaced(tick(1)), ending, observeOnly: 'another xthrottle steers it' };
    const { summary, calls, records } = await run(script, aborting);
    expect(summary).toMatchObject({ outcome: 'failed', reason: 'the link broke' });
    expect(calls).toEqual(['hold', 'restore']);
    expect(records[0]).toMatchObject({ type: 'start', observe: true });
  });

  it('says loudly, and in the summary, that the guest was suspended without leave', async () => {
    const ending: Ending = { result: 'migrated', downtimeMs: ms(900), downtimeSource: 'relay', failOpen: true };
    const { summary, records } = await run({ observations$: spaced(tick(1)), ending }, caps([]));
    expect(summary).toMatchObject({ outcome: 'missed', failOpen: true });
    expect(records.some((r) => r.type === 'note' && r.text.includes('SUSPENDED WITHOUT LEAVE'))).toBe(true);
    const calm = await run({ observations$: spaced(tick(1)) }, caps([]));
    expect(calm.summary).not.toHaveProperty('failOpen');
  });

  it('release: stops steering at once, puts the cap back and does not wait for the migration', async () => {
    const release$ = new Subject<string>();
    const observations$ = new Observable<Observation>((out) => {
      out.next(tick(1));
      setTimeout(() => release$.next('SIGTERM'), 5);
      return NEVER.subscribe();
    });
    const { calls, summary } = await run({ observations$, ending: { result: 'unknown' } }, caps([50]), { release$ });
    expect(calls).toEqual(['set-cap 50', 'restore']);
    // Nothing has failed: that would raise an alarm at each upgrade.
    expect(summary).toMatchObject({ outcome: 'released', reason: expect.stringContaining('goes on as stock') });
  });

  it('summarises what happened: rounds, lowest cap, withheld work, outcome against target', async () => {
    const changed = (atMs: number, cap: Cap): Observation => ({ type: 'cap-changed', atMs: ms(atMs), cap, by: 'us' });
    const sample = (atMs: number, cpuTimeMs: number): Observation => ({
      type: 'sample',
      atMs: ms(atMs),
      round: 0,
      cpuTimeMs: ms(cpuTimeMs),
    });
    const observations: Observation[] = [
      { type: 'round-start', atMs: ms(0), round: 0, pagesToSend: pages(1000), bytesSent: bytes(0) },
      sample(0, 0),
      sample(1000, 1000),
      changed(1000, capFromXen(50)),
      sample(2000, 1500),
      changed(2000, capFromXen(0)),
      { ...request, atMs: ms(2000) },
      { type: 'suspended', atMs: ms(2010), bytesSent: bytes(5) },
      { type: 'stop-and-copy', atMs: ms(2010), pagesToSend: pages(77), bytesSent: bytes(5) },
      { type: 'complete', atMs: ms(2050), bytesSent: bytes(9) },
    ];
    const { summary } = await run({ observations$: from(observations) }, caps([]));
    expect(summary).toMatchObject({
      outcome: 'met',
      rounds: 1,
      bytesSent: 9,
      lastDirtyPages: 77,
      capPercentMin: 50,
      throttledSeconds: 1,
      lostWorkSeconds: 0.5,
      stallMaxMs: 90,
      observedDowntimeMs: 100,
    });
    const slow = await run(
      { observations$: from(observations), ending: { result: 'migrated', downtimeMs: ms(900), downtimeSource: 'simulated' } },
      caps([]),
    );
    expect(slow.summary.outcome).toBe('missed');
  });
});
