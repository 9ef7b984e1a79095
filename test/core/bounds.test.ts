import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { boundedCap, boundedDecision } from '../../src/core/bounds.ts';
import { capFromXen, capped, capToXen, UNCAPPED } from '../../src/core/cap.ts';
import { because, type Decision } from '../../src/core/decision.ts';
import type { Observation } from '../../src/core/observation.ts';
import { bytes, ms, pages } from '../../src/core/units.ts';
import { goal } from './fixtures.ts';

const reason = because('test', 'test');
const tick: Observation = { type: 'tick', atMs: ms(1) };
const request: Observation = { type: 'suspend-request', atMs: ms(1), round: 4, bytesSent: bytes(0) };
const actions: readonly Decision[] = [
  { action: 'set-cap', cap: capped(5), reason },
  { action: 'uncap', reason },
  { action: 'hold', reason },
  { action: 'stop-and-copy', reason },
  { action: 'abort', reason },
  { action: 'grant', reason },
  { action: 'deny', reason },
];

describe('bounds of every controller', () => {
  it('keep a cap between floor and the domain’s own cap, and never make it 0 by accident', () => {
    fc.assert(
      fc.property(
        fc.nat(400),
        fc.integer({ min: 1, max: 100 }),
        fc.nat(1000),
        fc.integer({ min: 1, max: 4 }),
        (own, floor, wanted, vcpus) => {
          const ceiling = own === 0 ? 100 * vcpus : Math.min(own, 100 * vcpus);
          fc.pre(floor <= ceiling);
          const g = goal({ minCapPercent: floor }, { vcpus, activeVcpus: vcpus, capOriginal: capFromXen(own) });
          const got = boundedCap(wanted === 0 ? UNCAPPED : capped(wanted), g);
          const xen = capToXen(got);
          if (xen === 0) expect(own).toBe(0);
          else expect(xen).toBeGreaterThanOrEqual(Math.min(floor, ceiling));
          if (own !== 0) expect(xen).toBeLessThanOrEqual(own);
        },
      ),
    );
  });
  it('answer a suspend request by grant or deny whatever the controller said', () => {
    const answers = actions.map((decision) => boundedDecision(decision, request, goal()).action);
    expect(answers).toEqual(['grant', 'grant', 'grant', 'grant', 'deny', 'grant', 'deny']);
  });
  it('turn answers to questions nobody asked into a hold', () => {
    const answers = actions.map((decision) => boundedDecision(decision, tick, goal()).action);
    expect(answers).toEqual(['set-cap', 'uncap', 'hold', 'hold', 'abort', 'hold', 'hold']);
  });
});

describe('rounds that are ours to add', () => {
  it('end at the limit whatever the controller wants: the gate decides then', () => {
    const g = goal({}, {}, { policy: true, roundsMax: Number.POSITIVE_INFINITY });
    const query = (round: number): Observation => ({
      type: 'policy-query',
      atMs: ms(1),
      when: 'after',
      round,
      totalWritten: pages(0),
      bytesSent: bytes(0),
    });
    const hold: Decision = { action: 'hold', reason };
    expect(boundedDecision(hold, query(28), g).action).toBe('hold');
    expect(boundedDecision(hold, query(29), g)).toMatchObject({ action: 'stop-and-copy', reason: { code: 'rounds-used-up' } });
    expect(boundedDecision({ action: 'abort', reason }, query(40), g).action).toBe('abort');
  });
});

describe('an answer that is none', () => {
  const wild = (decision: unknown): Decision => boundedDecision(decision as Decision, request, goal());
  it('has a reason all the same, since metrics and traces need one', () => {
    for (const bad of [undefined, null, {}, { code: 1, text: 'x', numbers: {} }, { code: 'x', text: 'y' }])
      expect(wild({ action: 'deny', reason: bad })).toMatchObject({ action: 'deny', reason: { code: 'no-reason', numbers: {} } });
  });
  it('never makes the guest run first for ever, or for no number of milliseconds', () => {
    const runFirst = (runFirstMs: unknown) => (wild({ action: 'grant', reason, runFirstMs }) as { runFirstMs?: number }).runFirstMs;
    expect([Number.NaN, -1, 0, 'x', {}].map(runFirst)).toEqual([undefined, undefined, undefined, undefined, undefined]);
    expect([30, 1e9, Number.POSITIVE_INFINITY].map(runFirst)).toEqual([30, 5000, 5000]);
  });
  it('is refused where it is no decision at all', () => {
    for (const bad of [{ action: 'reboot', reason }, {}]) expect(() => wild(bad)).toThrow(TypeError);
    for (const percent of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const cap = { kind: 'capped', percent };
      const bounded = () => boundedDecision({ action: 'set-cap', cap, reason } as Decision, tick, goal());
      if (Number.isNaN(percent)) expect(bounded).toThrow(RangeError);
      else expect(bounded().action).toBe('uncap');
    }
  });
});
