import { describe, expect, it } from 'vitest';
import { controllers } from '../../controllers/registry.ts';
import type { Controller } from '../../src/core/controller.ts';
import { because } from '../../src/core/decision.ts';
import type { MigrationRecord } from '../../src/core/record.ts';
import { ms } from '../../src/core/units.ts';
import { replay, sameDecision } from '../../src/trace/replay.ts';
import { controllerNamed, simulated, traceOf } from './runs.ts';

const SCENARIOS = ['busy-database', 'hot-cold', 'idle'];
const TIMEOUT_MS = 60_000;

describe('a recorded migration decides the same again', () => {
  for (const controller of controllers) {
    it(
      `under ${controller.name}, after a journey through a file`,
      async () => {
        for (const scenario of SCENARIOS) {
          const records = simulated(scenario, controller.name, 5);
          const { records: back } = await traceOf(records);
          const result = replay(back, controller);
          expect(result.differences).toEqual([]);
          expect(result.identical).toBe(true);
          expect(result.compared).toBe(records.filter(({ type }) => type === 'decision').length);
        }
      },
      TIMEOUT_MS,
    );
  }
});

describe('what differs is found', () => {
  const records = simulated('busy-database', 'proportional');
  const own = controllerNamed('proportional');

  it('another controller says what it would have done at each place', () => {
    const result = replay(records, controllerNamed('none'));
    expect(result.identical).toBe(false);
    const first = result.differences.find(({ recorded }) => recorded.action === 'set-cap');
    expect(first?.replayed.action).toBe('hold');
    expect(result.recordedController).toBe('proportional');
    expect(result.controller).toBe('none');
  });

  it('a single changed number in one decision', () => {
    const index = records.findIndex((record) => record.type === 'decision' && record.decision.action === 'set-cap');
    const changed = records.map((record, i): MigrationRecord => {
      if (i !== index || record.type !== 'decision') return record;
      const { reason } = record.decision;
      return { ...record, decision: { ...record.decision, reason: { ...reason, numbers: { ...reason.numbers, added: 1 } } } };
    });
    expect(replay(changed, own).differences).toHaveLength(1);
  });

  it('the order of fields does not count', () => {
    const a = { action: 'hold', reason: because('a', 'b', { x: 1, y: 2 }) } as const;
    const b = { reason: { text: 'b', numbers: { y: 2, x: 1 }, code: 'a' }, action: 'hold' } as const;
    expect(sameDecision(a, b)).toBe(true);
  });

  it('what a person ordered is not held against the controller', () => {
    const ordered = records.map(
      (record): MigrationRecord =>
        record.type === 'decision' && ['grant', 'deny'].includes(record.decision.action)
          ? { ...record, decision: { action: 'deny', reason: because('abort-requested', 'SIGINT') } }
          : record,
    );
    const result = replay(ordered, own);
    expect(result.overridden).toBe(1);
    expect(result.identical).toBe(true);
  });

  it('a trace with missing records is never called identical', () => {
    const [start, ...rest] = records;
    const note: MigrationRecord = { type: 'note', id: start?.id ?? '', level: 'warning', text: 'gap', dropped: 4 };
    const result = replay([start as MigrationRecord, note, ...rest], own);
    expect(result).toMatchObject({ dropped: 4, identical: false, differences: [] });
  });

  it('a controller that throws ends the replay with what it said', () => {
    const broken: Controller = {
      ...own,
      decide(state, observation, goal) {
        if (observation.atMs > ms(1000)) throw new Error('out of ideas');
        return own.decide(state, observation, goal);
      },
    };
    expect(replay(records, broken)).toMatchObject({ identical: false, error: 'out of ideas' });
  });
});
