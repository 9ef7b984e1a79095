import { describe, expect, it } from 'vitest';
import { CapKeeper, type RunBounded } from '../../../src/xen/relay/lift.ts';

const TABLE = 'Name                                ID Weight  Cap\n';

/** xl with one domain, whose cap it shows and sets; `looks`: what looking answers instead. */
function xlOf(cap: number, looks?: string) {
  const calls: string[] = [];
  const state = { cap };
  const xl: RunBounded = async (args) => {
    calls.push(args.join(' '));
    if (args.includes('-c')) {
      state.cap = Number(args.at(-1));
      return '';
    }
    return looks === 'fails' ? undefined : (looks ?? `${TABLE}vm1    3    256   ${state.cap}\n`);
  };
  return { xl, calls, state };
}

function keeper(xl: RunBounded, ...announced: readonly (number | undefined)[]): CapKeeper {
  const cap = new CapKeeper(xl);
  cap.welcome = { capOriginal: 60, scheduler: 'credit', domid: 3 };
  for (const value of announced) cap.told(true, value);
  return cap;
}

describe('the relay that lost xthrottle', () => {
  it("puts the domain's own cap back where one of ours is in force", async () => {
    const { xl, calls, state } = xlOf(40);
    const cap = keeper(xl, 40, 20);
    expect(await cap.lift()).toBe(true);
    expect(calls).toEqual(['sched-credit -d 3', 'sched-credit -d 3 -c 60']);
    expect(state.cap).toBe(60);
    expect(await cap.lift()).toBeUndefined();
  });

  it("leaves somebody else's cap", async () => {
    const { xl, calls, state } = xlOf(33);
    const cap = keeper(xl, 40, 20);
    expect(await cap.lift()).toBeUndefined();
    expect(cap.theirs).toBe(true);
    expect(calls).toEqual(['sched-credit -d 3']);
    expect(state.cap).toBe(33);
  });

  it('sets the original where it reads as such: a call of the dead one may be on its way', async () => {
    const { xl, calls } = xlOf(60);
    expect(await keeper(xl, 40).lift()).toBe(true);
    expect(calls.at(-1)).toBe('sched-credit -d 3 -c 60');
  });

  it.each([
    ['fails or takes too long', 'fails'],
    ['shows rubbish', '[{"domid": 1'],
    ['shows other domains only', `${TABLE}vm2    4    256   33\n`],
  ])('lifts where looking %s: a parked guest cannot answer the suspend', async (_name, looks) => {
    const { xl, state } = xlOf(33, looks);
    expect(await keeper(xl, 40).lift()).toBe(true);
    expect(state.cap).toBe(60);
  });

  it('does not look when a cap of ours was announced without its number', async () => {
    const { xl, calls } = xlOf(33);
    expect(await keeper(xl, undefined).lift()).toBe(true);
    expect(calls).toEqual(['sched-credit -d 3 -c 60']);
  });

  it('has nothing to do when nothing was set, or it was put back', async () => {
    const { xl, calls } = xlOf(60);
    const cap = keeper(xl, 40);
    cap.told(false, undefined);
    expect(await cap.lift()).toBeUndefined();
    expect(await keeper(xl).lift()).toBeUndefined();
    expect(calls).toEqual([]);
  });

  it('knows a cap of before the last lift', async () => {
    const { xl, state } = xlOf(40);
    const cap = keeper(xl, 40);
    cap.told(false, undefined);
    cap.told(true, 20);
    // A call that hung has brought the first one back.
    expect(await cap.lift()).toBe(true);
    expect(state.cap).toBe(60);
  });

  it('joins calls, and says when xl did not do it', async () => {
    const { xl, calls } = xlOf(40);
    const cap = keeper(xl, 40);
    expect(await Promise.all([cap.lift(), cap.lift()])).toEqual([true, true]);
    expect(calls).toHaveLength(2);
    const broken = keeper(async () => undefined, 40);
    expect(await broken.lift()).toBe(false);
    expect(await broken.lift()).toBe(false);
  });
});
