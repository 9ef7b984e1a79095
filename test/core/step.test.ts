import { describe, expect, it } from 'vitest';
import { type Cap, capFromXen, capped } from '../../src/core/cap.ts';
import type { Controller } from '../../src/core/controller.ts';
import { because, type Decision } from '../../src/core/decision.ts';
import type { Observation } from '../../src/core/observation.ts';
import { stepper } from '../../src/core/step.ts';
import { bytes, ms, pages } from '../../src/core/units.ts';
import { goal } from './fixtures.ts';

const reason = because('test', 'test');
/** Asks for the caps given, one at each observation. */
const scripted = (caps: readonly number[]): Controller<number> => ({
  name: 'scripted',
  summary: 'test',
  initial: () => 0,
  decide: (i): readonly [number, Decision] => [
    i + 1,
    caps[i] === undefined ? { action: 'hold', reason } : { action: 'set-cap', cap: capped(caps[i]), reason },
  ],
});
const tick = (atMs: number): Observation => ({ type: 'tick', atMs: ms(atMs) });
const changed = (cap: Cap, by: 'us' | 'other'): Observation => ({ type: 'cap-changed', atMs: ms(5), cap, by });

function play(caps: readonly number[], observations: readonly Observation[], g = goal()) {
  const steps = stepper(scripted(caps), g);
  const out: Decision[] = [];
  let step = steps.initial;
  for (const observation of observations) {
    step = steps.next(step, observation);
    out.push(step.decision);
  }
  return out.map((d) =>
    d.action === 'set-cap' && d.cap.kind === 'capped' ? `set ${d.cap.percent}` : d.action === 'hold' ? `hold ${d.reason.code}` : d.action,
  );
}

describe('step', () => {
  it('aborts once, and answers whatever is still asked in the same sense', () => {
    const eager: Controller<number> = { ...scripted([]), decide: (i) => [i + 1, { action: 'abort', reason }] };
    const steps = stepper(eager, goal());
    const query: Observation = { type: 'policy-query', atMs: ms(3), when: 'before', round: 1, totalWritten: pages(1), bytesSent: bytes(1) };
    const request: Observation = { type: 'suspend-request', atMs: ms(4), round: 1, bytesSent: bytes(1) };
    let step = steps.initial;
    const actions = [tick(1), tick(2), query, request].map((observation) => {
      step = steps.next(step, observation);
      return step.decision.action;
    });
    expect(actions).toEqual(['abort', 'hold', 'abort', 'deny']);
    expect(step.decision.reason).toBe(reason);
  });
  it('makes no call for a change that is not worth one, but always reaches the floor', () => {
    expect(play([60, 60, 59, 18], [tick(1), tick(2), tick(3), tick(4)])).toEqual(['set 60', 'hold test', 'hold test', 'set 18']);
  });
  it('hands off for good once somebody else changed the cap', () => {
    expect(play([50, 40, 30, 20], [tick(1), changed(capFromXen(80), 'other'), tick(3), changed(capFromXen(80), 'us')])).toEqual([
      'set 50',
      'hold hands-off',
      'hold hands-off',
      'hold hands-off',
    ]);
  });
  it('goes on when the cap reported is the one we asked for', () => {
    expect(play([50, 40, 30], [tick(1), changed(capFromXen(50), 'other'), tick(3)])).toEqual(['set 50', 'set 40', 'set 30']);
  });
  it('asks again after a change that did not take effect', () => {
    expect(play([50, 50, 50], [tick(1), changed(capFromXen(0), 'us'), tick(3)])).toEqual(['set 50', 'set 50', 'hold test']);
  });
  it('changes nothing where the cap cannot be changed', () => {
    expect(play([50], [tick(1)], goal({}, {}, { actuator: false }))).toEqual(['hold hands-off']);
  });
});
