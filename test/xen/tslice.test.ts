import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { capped, UNCAPPED } from '../../src/core/cap.ts';
import { stallOf } from '../../src/core/stall.ts';
import { ms } from '../../src/core/units.ts';
import { preflight } from '../../src/xen/domain.ts';
import { createJournal } from '../../src/xen/journal.ts';
import { type Owner, thisProcess } from '../../src/xen/owner.ts';
import { restoreLeftovers } from '../../src/xen/restore.ts';
import { assertSomeTslice, assertTslice, capFor, ownTslice, tsliceKeeper } from '../../src/xen/tslice.ts';
import { facts, fakeXl, type StandInState } from './stand-in.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'xthrottle-tslice-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const POOL = 'Pool-0';

/** Processes of this host that share a pool; `kill` is SIGKILL. */
function host(change: Partial<StandInState> = {}) {
  const fake = fakeXl(change);
  const dead = new Set<number>();
  const lives = (owner: Owner) => !dead.has(owner.pid);
  return {
    ...fake,
    lives,
    kill: (pid: number) => dead.add(pid),
    process(pid: number) {
      const owner = { ...thisProcess(), pid };
      const journal = createJournal(directory, undefined, owner, lives);
      const keeper = tsliceKeeper({ xl: fake.xl, journal, guarded: async () => undefined, place: { lives }, owner });
      return { owner, hold: (wantedMs: number) => keeper.hold(POOL, ms(fake.state.tslice), ms(wantedMs)) };
    },
    /** What the guard of a killed process does, or the next start of any. */
    restore: (owner?: Owner) =>
      restoreLeftovers({ xl: fake.xl, directory, lives, sleep: async () => undefined, ...(owner === undefined ? {} : { owner }) }),
  };
}

describe('a shorter timeslice', () => {
  it('is journalled before it is set, counted on, and put back', async () => {
    const { process, state } = host();
    const hold = await process(1).hold(5);
    expect(hold).toMatchObject({ tsliceMs: 5 });
    expect(hold.refused).toBeUndefined();
    expect(state.tslice).toBe(5);
    expect(readdirSync(directory)).toHaveLength(1);
    expect(await hold.release()).toMatchObject({ restored: true });
    expect(state.tslice).toBe(30);
    expect(readdirSync(directory)).toEqual([]);
    expect(await hold.release()).toMatchObject({ restored: true });
  });
  it('stays while another migration of the process needs it', async () => {
    const { process, state, calls } = host();
    const one = process(1);
    const [a, b] = [await one.hold(5), await one.hold(5)];
    await a.release();
    expect(state.tslice).toBe(5);
    await b.release();
    expect(state.tslice).toBe(30);
    expect(calls.filter((c) => c.includes('-t')).map((c) => c.at(-1))).toEqual(['5', '30']);
  });
  it('is not made longer where it is short already, and then nothing is promised but what is there', async () => {
    const { process, state } = host({ tslice: 3 });
    const hold = await process(1).hold(5);
    expect(hold).toMatchObject({ tsliceMs: 3, refused: expect.stringContaining('3 ms already') });
    await hold.release();
    expect(state.tslice).toBe(3);
    expect(readdirSync(directory)).toEqual([]);
  });
  it.each([
    ['xl refuses', { fail: { 'sched-credit set': 'libxl: error: no' } }],
    ['xl says so and it reads otherwise', { ignoreSets: true }],
    ['the ratelimit is longer', { ratelimitUs: 10_000 }],
  ])('is not counted on when %s', async (_, change) => {
    const { process, state } = host(change);
    const hold = await process(1).hold(5);
    expect(hold).toMatchObject({ tsliceMs: 30, refused: expect.stringContaining('stays') });
    expect(state.tslice).toBe(30);
    expect(readdirSync(directory)).toEqual([]);
  });
  it('is left alone when somebody else has set another since', async () => {
    const { process, state } = host();
    const hold = await process(1).hold(5);
    state.tslice = 12;
    expect(await hold.lengthened()).toBe(12);
    await hold.release();
    expect(state.tslice).toBe(12);
    expect(readdirSync(directory)).toEqual([]);
  });
  it('that cannot be put back is said, with the command, and kept for the next start', async () => {
    const { process, state, restore, kill } = host();
    const hold = await process(1).hold(5);
    state.fail = { 'sched-credit set': 'libxl: error: no' };
    expect(await hold.release()).toMatchObject({ restored: false, hint: expect.stringContaining('xl sched-credit -s -p Pool-0 -t 30') });
    delete state.fail;
    kill(1);
    expect(await restore()).toMatchObject([{ kind: 'tslice', verdict: 'restored', after: 30 }]);
    expect(state.tslice).toBe(30);
  });
});

describe('several processes on one pool', () => {
  it('the shortest is in force, each counts on its own, the last one puts the original back', async () => {
    const { process, state } = host();
    const a = await process(1).hold(5);
    const b = await process(2).hold(10);
    expect([a.tsliceMs, b.tsliceMs, state.tslice]).toEqual([5, 10, 5]);
    await a.release();
    expect(state.tslice).toBe(10);
    await b.release();
    expect(state.tslice).toBe(30);
    expect(readdirSync(directory)).toEqual([]);
  });
  it('one without the option counts on what the pool will have again', async () => {
    const { process, xl, lives } = host();
    await process(1).hold(5);
    expect(await ownTslice(POOL, xl, { directory, lives })).toBe(30);
  });
  it('one is killed: its guard leaves the other what it needs, and that one still puts the original back', async () => {
    const { process, state, restore, kill } = host();
    const killed = process(1);
    await killed.hold(5);
    const other = await process(2).hold(10);
    kill(1);
    expect(await restore(killed.owner)).toMatchObject([{ verdict: 'restored', before: 5, after: 10 }]);
    await other.release();
    expect(state.tslice).toBe(30);
    expect(readdirSync(directory)).toEqual([]);
  });
  it('the guard comes last, or not before the next start: the original is back all the same', async () => {
    const { process, state, restore, kill } = host();
    await process(1).hold(5);
    const other = await process(2).hold(5);
    kill(1);
    await other.release();
    expect(state.tslice).toBe(30);
    expect(await restore()).toMatchObject([{ verdict: 'already' }]);
    expect(readdirSync(directory)).toEqual([]);
  });
  it('whatever comes and goes, is killed and restored at the same time: short while somebody holds it, the original at the end', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ wantedMs: fc.integer({ min: 1, max: 29 }), killed: fc.boolean(), turns: fc.nat(12) }), {
          minLength: 1,
          maxLength: 4,
        }),
        async (plans) => {
          const { process, state, restore, kill } = host();
          const turns = async (n: number) => {
            for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve));
          };
          await Promise.all(
            plans.map(async ({ wantedMs, killed, turns: n }, i) => {
              await turns(n);
              const one = process(i + 1);
              const hold = await one.hold(wantedMs);
              expect(hold.refused).toBeUndefined();
              await turns(n);
              if (!killed) return expect(await hold.release()).toMatchObject({ restored: true });
              kill(i + 1);
              await restore(one.owner);
            }),
          );
          expect(state.tslice).toBe(30);
          expect(readdirSync(directory)).toEqual([]);
        },
      ),
      { numRuns: 40 },
    );
  });
});

describe('what is refused before anything runs', () => {
  it('another scheduler', async () => {
    const { xl } = fakeXl({ scheduler: 'credit2' });
    await expect(assertTslice(ms(5), await preflight('vm1', xl), xl)).rejects.toMatchObject({
      exit: 'usage',
      message: expect.stringContaining('credit2'),
    });
    await expect(assertSomeTslice(xl)).rejects.toMatchObject({ exit: 'usage' });
  });
  it('less than the ratelimit, with what would do', async () => {
    const { xl } = fakeXl({ ratelimitUs: 10_000 });
    const domain = await preflight('vm1', xl);
    await expect(assertTslice(ms(5), domain, xl)).rejects.toMatchObject({ exit: 'usage', hint: expect.stringContaining('-r 5000') });
    await assertTslice(ms(10), domain, xl);
    await assertSomeTslice(xl);
  });
});

describe('a cap decided for a shorter timeslice than there is', () => {
  it('is raised to one that stalls no longer', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 400 }),
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 60 }),
        (percent, activeVcpus, decidedMs, nowMs) => {
          const cap = capFor(capped(percent), ms(decidedMs), ms(nowMs), facts({ vcpus: activeVcpus, activeVcpus }));
          const stall = (of: number, tsliceMs: number) => stallOf(of, activeVcpus, 'credit', ms(tsliceMs));
          if (cap.kind === 'capped') {
            expect(stall(cap.percent, nowMs)).toBeLessThanOrEqual(
              Math.max(stall(percent, decidedMs), stall(percent, nowMs) * Number(nowMs <= decidedMs)),
            );
            expect(cap.percent).toBeGreaterThanOrEqual(percent);
          }
        },
      ),
    );
  });
  it('is the same under the same, and none where none does', () => {
    expect(capFor(capped(20), ms(5), ms(5), facts())).toEqual(capped(20));
    expect(capFor(UNCAPPED, ms(5), ms(30), facts())).toEqual(UNCAPPED);
    expect(capFor(capped(50), ms(5), ms(30), facts())).toEqual(UNCAPPED);
  });
});
