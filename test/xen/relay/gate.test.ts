import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  AFTER_MS_MAX,
  decideSuspend,
  deferred,
  type GateInputs,
  type Leave,
  type Outcome,
  type Stop,
} from '../../../src/xen/relay/gate.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function ask(waitMs: number | undefined, lift: GateInputs['lift'] = () => Promise.resolve(undefined)) {
  const answer = deferred<Leave | 'lost'>();
  const stop = deferred<Stop>();
  let outcome: Outcome | undefined;
  void decideSuspend({ waitMs, answer: answer.promise, stopped: stop.promise, lift }).then((value) => {
    outcome = value;
  });
  return { answer, stop, outcome: () => outcome };
}

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe('the suspend gate', () => {
  it('waits for the answer and follows it', async () => {
    const granted = ask(3000);
    await pass(2999);
    expect(granted.outcome()).toBeUndefined();
    granted.answer.settle({ grant: true });
    await pass(0);
    expect(granted.outcome()).toEqual({ result: 'passed-on', by: 'server' });
    const denied = ask(3000);
    denied.answer.settle({ grant: false, reason: 'too long' });
    await pass(0);
    expect(denied.outcome()).toEqual({ result: 'denied', by: 'server', reason: 'too long' });
  });

  it('does not lift the cap after a grant: the server has', async () => {
    const lift = vi.fn(() => Promise.resolve(true));
    const gate = ask(3000, lift);
    gate.answer.settle({ grant: true });
    await pass(0);
    expect(lift).not.toHaveBeenCalled();
  });

  it.each<readonly [string, 'lost' | undefined]>([
    ['no answer comes', undefined],
    ['the server is lost', 'lost'],
  ])('lifts the cap and passes on when %s', async (_name, lost) => {
    const lifted = deferred<boolean>();
    const gate = ask(3000, () => lifted.promise);
    if (lost === undefined) await pass(3000);
    else gate.answer.settle(lost);
    await pass(0);
    expect(gate.outcome()).toBeUndefined();
    lifted.settle(true);
    await pass(0);
    expect(gate.outcome()).toEqual({ result: 'passed-on', by: 'timeout', lifted: true });
  });

  it('passes on although the lift failed, and says so', async () => {
    const gate = ask(0, () => Promise.resolve(false));
    await pass(0);
    expect(gate.outcome()).toEqual({ result: 'passed-on', by: 'timeout', lifted: false });
  });

  it('asks nobody when nobody is there', async () => {
    const gate = ask(undefined);
    await pass(0);
    expect(gate.outcome()).toEqual({ result: 'passed-on', by: 'observe' });
  });

  it('lets the guest run as long as a grant says, within bounds', async () => {
    const gate = ask(100);
    gate.answer.settle({ grant: true, afterMs: 60_000 });
    // The wait for the answer is over and no longer counts.
    await pass(AFTER_MS_MAX - 1);
    expect(gate.outcome()).toBeUndefined();
    await pass(1);
    expect(gate.outcome()).toEqual({ result: 'passed-on', by: 'server' });
  });

  it.each(['waiting for the answer', 'letting the guest run', 'lifting the cap'])('is denied by a stop while %s', async (moment) => {
    const gate = ask(1000, () => new Promise(() => undefined));
    if (moment === 'letting the guest run') gate.answer.settle({ grant: true, afterMs: 500 });
    if (moment === 'lifting the cap') gate.answer.settle('lost');
    await pass(10);
    gate.stop.settle({ reason: 'SIGTERM', by: 'signal' });
    await pass(0);
    expect(gate.outcome()).toEqual({ result: 'denied', by: 'signal', reason: 'SIGTERM' });
    expect(vi.getTimerCount()).toBe(0);
  });
});
