import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Cap, capFromXen, capped, capToXen, UNCAPPED } from '../../src/core/cap.ts';
import { ms } from '../../src/core/units.ts';
import { createActuator } from '../../src/xen/cap-actuator.ts';
import { steerCap } from '../../src/xen/cap-steering.ts';
import { isHere } from '../../src/xen/domain.ts';
import { createJournal, readJournals } from '../../src/xen/journal.ts';
import type { Xenctrl } from '../../src/xen/libxenctrl.ts';
import { facts, fakeXl, UUID } from './stand-in.ts';

// Programs are started and files synced: on a busy machine that takes its time.
vi.setConfig({ testTimeout: 60_000 });

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'xthrottle-steering-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function steered(
  capOriginal = 0,
  options: { readonly library?: boolean | 'lifts'; readonly directory?: string; readonly guarded?: () => Promise<void> } = {},
) {
  const fake = fakeXl();
  fake.domain().cap = capOriginal;
  const events: string[] = [];
  const lifts: number[] = [];
  const xenctrl: Xenctrl = {
    library: 'stand-in',
    dirtyPages: () => undefined,
    cpu: () => undefined,
    getCap: () => capFromXen(fake.domain().cap),
    setCap(_domid, _scheduler, cap) {
      if (options.library === 'lifts' && cap.kind === 'capped') return false;
      lifts.push(capToXen(cap));
      fake.domain().cap = capToXen(cap);
      return true;
    },
    close: () => undefined,
  };
  const domain = facts({ capOriginal: capFromXen(capOriginal) });
  const steering = steerCap({
    actuator: createActuator({ xl: fake.xl, domain, scheduler: 'credit', xenctrl: options.library === undefined ? undefined : xenctrl }),
    journal: createJournal(options.directory ?? directory),
    domain,
    scheduler: 'credit',
    isHere: () => isHere(fake.xl, domain.domid, domain.uuid),
    guarded: options.guarded ?? (async () => void events.push('guarded')),
    onLowered: (lowered) => events.push(`lowered ${lowered}`),
    onChanged: (cap, by) => events.push(`cap ${capToXen(cap)} by ${by}`),
  });
  return { fake, steering, events, lifts };
}

describe('steering a cap', () => {
  it('is written ahead, guarded and announced before it is set', async () => {
    const { fake, steering, events } = steered();
    await steering.claim();
    await steering.set(capped(40));
    expect((await readJournals(directory)).entries).toMatchObject([{ capOriginal: 0, capsSet: [40], uuid: UUID }]);
    expect(events).toEqual(['guarded', 'lowered true', 'cap 40 by us']);
    expect(fake.domain().cap).toBe(40);
  });
  it('never comes before its journal entry', async () => {
    const { fake, steering } = steered();
    await steering.claim();
    const real = fake.domain();
    const seen: unknown[] = [];
    Object.defineProperty(fake.state.domains, 1, {
      value: new Proxy(real, {
        set(target, key, value) {
          if (key === 'cap') seen.push([value, readdirSync(directory).length]);
          return Reflect.set(target, key, value);
        },
      }),
    });
    await steering.set(capped(40));
    await steering.set(capped(20));
    expect(seen).toEqual([
      [40, 1],
      [20, 1],
    ]);
    expect((await readJournals(directory)).entries).toMatchObject([{ capsSet: [40, 20] }]);
  });
  it('sets through the library, and through xl what that refuses', async () => {
    const { fake, steering, lifts } = steered(0, { library: 'lifts' });
    await steering.claim();
    await steering.set(capped(40));
    expect(await steering.set(UNCAPPED)).toMatchObject({ result: 'applied' });
    expect([fake.sets(), lifts]).toEqual([[40], [0]]);
  });
  it('ends when somebody else changes the cap: theirs stays, and that is said once', async () => {
    const { fake, steering, events } = steered();
    await steering.claim();
    await steering.set(capped(40));
    fake.domain().cap = 77;
    await steering.lookForOthers();
    await steering.lookForOthers();
    expect(await steering.set(capped(10))).toMatchObject({ result: 'skipped' });
    expect(await steering.restore()).toMatchObject({ restored: true, capAfter: 77 });
    expect(fake.domain().cap).toBe(77);
    expect(fake.sets()).toEqual([40]);
    expect(events.filter((e) => e.includes('by other'))).toEqual(['cap 77 by other']);
    expect(readdirSync(directory)).toEqual([]);
  });
  it("sees it before its own next change, too; an admin's uncapping counts", async () => {
    const { fake, steering, events } = steered();
    await steering.claim();
    await steering.set(capped(40));
    fake.domain().cap = 0;
    expect(await steering.set(capped(20))).toMatchObject({ result: 'skipped', error: expect.stringContaining('somebody else') });
    expect(fake.domain().cap).toBe(0);
    expect(events.at(-1)).toBe('cap 0 by other');
  });
  it('changes nothing when the domid is another domain by now', async () => {
    const { fake, steering } = steered();
    fake.domain().uuid = UUID.replace('d9', 'aa');
    await steering.claim();
    expect(await steering.set(capped(40))).toMatchObject({ result: 'failed', error: expect.stringContaining('no longer vm1') });
    expect(fake.sets()).toEqual([]);
  });
  it('changes nothing when the journal cannot be written', async () => {
    const blocked = join(directory, 'file');
    writeFileSync(blocked, '');
    const { fake, steering } = steered(0, { directory: blocked });
    expect(await steering.claim()).toContain('file');
    expect(await steering.set(capped(40))).toMatchObject({ result: 'failed', error: expect.stringContaining('journal') });
    expect(fake.sets()).toEqual([]);
  });
  it('reports a failing xl as a value, and restores all the same', async () => {
    const { fake, steering } = steered(60);
    await steering.claim();
    await steering.set(capped(20));
    fake.state.fail = { 'sched-credit set': 'libxl: error: away' };
    expect(await steering.set(capped(10))).toMatchObject({ result: 'failed', error: expect.stringContaining('away') });
    delete fake.state.fail;
    expect(await steering.restore()).toEqual({ restored: true, capAfter: 60 });
    expect(fake.domain().cap).toBe(60);
  });
  it('a call that failed but came into force all the same is ours, not an admin', async () => {
    const { fake, steering, events } = steered(60);
    await steering.claim();
    await steering.set(capped(20));
    fake.state.fail = { 'sched-credit set': 'timed out' };
    await steering.set(capped(10));
    fake.domain().cap = 10;
    delete fake.state.fail;
    await steering.lookForOthers();
    expect(events.some((e) => e.includes('other'))).toBe(false);
    expect(await steering.restore()).toMatchObject({ restored: true, capAfter: 60 });
    expect(fake.domain().cap).toBe(60);
  });
  it('says which command puts the cap back when it could not, and keeps the journal', async () => {
    const { fake, steering } = steered(60);
    await steering.claim();
    await steering.set(capped(20));
    fake.state.ignoreSets = true;
    expect(await steering.restore()).toMatchObject({ restored: false, hint: expect.stringContaining('xl sched-credit -d 24 -c 60') });
    expect(readdirSync(directory)).toHaveLength(1);
  });
  it('has nothing to restore on a domain that migrated away', async () => {
    const { fake, steering } = steered();
    await steering.claim();
    await steering.set(capped(20));
    fake.state.domains.pop();
    expect(await steering.restore()).toEqual({ restored: true, capAfter: null });
    expect(readdirSync(directory)).toEqual([]);
  });
  it('a lower cap that is still being prepared when the lift for the suspend comes is not set any more', async () => {
    let ready: () => void = () => undefined;
    const guard = new Promise<void>((resolve) => {
      ready = resolve;
    });
    const { fake, steering } = steered(60, { guarded: () => guard });
    await steering.claim();
    const lowering = steering.set(capped(20));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await steering.set(capFromXen(60))).toMatchObject({ result: 'skipped' });
    ready();
    expect(await lowering).toMatchObject({ result: 'superseded' });
    expect(fake.sets()).toEqual([]);
  });
  it('is not given up on a domain whose configuration xl cannot list just now', async () => {
    const { fake } = steered();
    const stdout = JSON.stringify([{ domid: 0, config: { c_info: { name: 'Domain-0' } } }]);
    const xl: typeof fake.xl = async (args) =>
      args.includes('-l') ? { ok: true, exitCode: 0, timedOut: false, stdout, stderr: '', tookMs: ms(1) } : fake.xl(args);
    expect(await isHere(xl, 24, UUID)).toBe(true);
    expect(await isHere(xl, 25, UUID)).toBe(false);
  });
  it('restored once, no change that was still on its way follows', async () => {
    const { fake, steering } = steered();
    await steering.claim();
    const late = [steering.set(capped(40)), steering.set(capped(20))];
    const restored = await steering.restore();
    await Promise.all(late);
    expect(restored.restored).toBe(true);
    expect(fake.domain().cap).toBe(0);
    expect(await steering.set(capped(10))).toMatchObject({ result: 'skipped' });
    expect(fake.domain().cap).toBe(0);
  });
});

describe('whatever is asked of it', () => {
  const cap = fc.oneof(
    fc.constant(UNCAPPED),
    fc
      .integer({ min: -5, max: 300 })
      .map((percent): Cap => ({ kind: 'capped', percent: percent as ReturnType<typeof capped> extends { percent: infer P } ? P : never })),
  );
  it('never sets 0 on a capped domain, never above its own, and the own cap is back at the end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(100), fc.array(cap, { maxLength: 8 }), fc.boolean(), async (capOriginal, caps, library) => {
        const { fake, steering, lifts } = steered(capOriginal, { library });
        await steering.claim();
        for (const wanted of caps) await steering.set(wanted);
        expect(await steering.restore()).toEqual({ restored: true, capAfter: capOriginal });
        expect(fake.domain().cap).toBe(capOriginal);
        const most = capOriginal === 0 ? 100 : capOriginal;
        for (const set of [...fake.sets(), ...lifts]) {
          expect(Number.isInteger(set)).toBe(true);
          expect(set === 0 ? capOriginal : 0).toBe(0);
          expect(set).toBeLessThanOrEqual(most);
        }
        expect(readdirSync(directory)).toEqual([]);
      }),
    );
  });
});

describe('a call of xl that no signal reaches', () => {
  const STUCK = { pid: 4711, startTicks: 1, bootId: 'x' };
  /** Its first call that sets a cap hangs; `land` is its late effect. */
  function hanging() {
    const fake = fakeXl();
    let landed = () => undefined as undefined;
    let alive = false;
    let hung = false;
    const domain = facts();
    const xl: typeof fake.xl = async (args) => {
      if (!args.includes('-c') || hung) return fake.xl(args);
      [alive, hung] = [true, true];
      landed = () => {
        fake.domain().cap = Number(args.at(-1));
        alive = false;
        return undefined;
      };
      return { ok: false, timedOut: true, stdout: '', stderr: '', tookMs: ms(15_000), lingers: STUCK };
    };
    const steering = steerCap({
      actuator: createActuator({ xl, domain, scheduler: 'credit' }),
      journal: createJournal(directory),
      domain,
      scheduler: 'credit',
      isHere: () => isHere(fake.xl, domain.domid, domain.uuid),
      guarded: async () => undefined,
      onLowered: () => undefined,
      onChanged: () => undefined,
      lives: () => alive,
    });
    return { fake, steering, land: () => landed() };
  }

  it('is waited for: what it did late is undone before the cap counts as restored', async () => {
    const { fake, steering, land } = hanging();
    await steering.claim();
    expect(await steering.set(capped(20))).toMatchObject({ result: 'failed' });
    // A lift in between succeeds, and must not make the late cap look like somebody else's.
    await steering.set(UNCAPPED);
    const restored = steering.restore();
    setTimeout(land, 300);
    expect(await restored).toEqual({ restored: true, capAfter: 0 });
    expect(fake.domain().cap).toBe(0);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('is undone when it is seen in force, long after', async () => {
    const { fake, steering, land } = hanging();
    await steering.claim();
    await steering.set(capped(20));
    await steering.set(UNCAPPED);
    land();
    expect(fake.domain().cap).toBe(20);
    await steering.lookForOthers();
    expect(fake.domain().cap).toBe(0);
    fake.domain().cap = 20;
    expect(await steering.lift(1000)).toMatchObject({ result: 'applied' });
    expect(fake.domain().cap).toBe(0);
    await steering.restore();
  });

  it('no lift is sure while it lives', async () => {
    const { steering, land } = hanging();
    await steering.claim();
    await steering.set(capped(20));
    expect(await steering.lift(1000)).toMatchObject({ result: 'failed', error: expect.stringContaining('hangs') });
    land();
    await steering.restore();
  });
});

type Steered = ReturnType<typeof steered>;

describe('the lift for a suspension', () => {
  /** Until xl was called to set this cap. */
  const called = async (calls: readonly (readonly string[])[], cap: string): Promise<void> => {
    for (let i = 0; i < 2000 && !calls.some((args) => args.includes('-c') && args.at(-1) === cap); i++)
      await new Promise((resolve) => setTimeout(resolve, 5));
  };

  /** A change to 20 % that xl has been called for, and that does not end before `release`. */
  const slowly = async (fake: Steered['fake'], steering: Steered['steering']) => {
    let release: () => void = () => undefined;
    fake.state.slow = new Promise<void>((resolve) => {
      release = resolve;
    });
    const lower = steering.set(capped(20));
    await called(fake.calls, '20');
    return { lower, release };
  };

  it('waits for the slow call that it has overtaken', async () => {
    const { fake, steering, lifts } = steered(0, { library: 'lifts' });
    await steering.claim();
    await steering.set(capped(50));
    const { lower, release } = await slowly(fake, steering);
    let sure = false;
    const lifted = steering.lift(5000).then((effect) => {
      sure = true;
      return effect;
    });
    for (let i = 0; i < 2000 && lifts.length === 0; i++) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([lifts, sure]).toEqual([[0], false]);
    release();
    expect(await lifted).toMatchObject({ result: 'applied' });
    expect(fake.domain().cap).toBe(0);
    await lower;
  });

  it('a cap of ours that lands late is not taken for somebody else’s', async () => {
    const { fake, steering } = steered(0, { library: 'lifts' });
    await steering.claim();
    await steering.set(capped(50));
    const { lower, release } = await slowly(fake, steering);
    await steering.set(UNCAPPED);
    // In force, but its call has not ended.
    fake.domain().cap = 20;
    await steering.lookForOthers();
    const lifted = steering.lift(5000);
    release();
    expect(await lifted).toMatchObject({ result: 'applied' });
    expect(fake.domain().cap).toBe(0);
    await lower;
    expect(await steering.restore()).toEqual({ restored: true, capAfter: 0 });
  });

  it('has failed when that call does not end in time', async () => {
    const { fake, steering } = steered(0, { library: 'lifts' });
    await steering.claim();
    await steering.set(capped(50));
    const { lower, release } = await slowly(fake, steering);
    expect(await steering.lift(50)).toMatchObject({ result: 'failed', error: expect.stringContaining('slow call') });
    release();
    await lower;
    await steering.restore();
    expect(fake.domain().cap).toBe(0);
  });
});

describe('the lift long after the domain was identified', () => {
  it('asks xl for nothing first, since that was asked meanwhile', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const { fake, steering } = steered(0, { library: true });
      const lists = () => fake.calls.filter(([command]) => command === 'list').length;
      await steering.claim();
      await steering.set(capped(40));
      for (let second = 0; second < 100; second++) {
        vi.advanceTimersByTime(1000);
        await steering.lookForOthers();
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
      const before = lists();
      expect(before).toBeLessThan(10);
      expect((await steering.lift(1000)).result).toBe('applied');
      expect(lists()).toBe(before);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('the first cap long after the domain was identified', () => {
  const lists = ({ calls }: Steered['fake']) => calls.filter(([command]) => command === 'list').length;
  /** Calls of xl list for it, when the domain was seen every second of the first 90. */
  const listsAfter = async (seconds: number): Promise<number> => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const { fake, steering } = steered(0, { library: true });
      await steering.claim();
      await vi.waitFor(() => expect(lists(fake)).toBe(1));
      for (let second = 0; second < seconds; second++) {
        vi.advanceTimersByTime(1000);
        if (second < 90) steering.seen();
      }
      expect(await steering.set(capped(40))).toMatchObject({ result: 'applied' });
      return lists(fake);
    } finally {
      vi.useRealTimers();
    }
  };
  it('asks xl for nothing while the domain is seen to be migrating', async () => {
    expect(await listsAfter(90)).toBe(1);
  });
  it('asks anew once it was not seen for a while', async () => {
    expect(await listsAfter(130)).toBe(2);
  });
});

describe("a call of ours on its way when an admin's change is seen", () => {
  it('does not outlast it: theirs is put back', async () => {
    const { fake, steering } = steered(60);
    await steering.claim();
    await steering.set(capped(40));
    let release: () => void = () => undefined;
    fake.state.slow = new Promise<void>((resolve) => {
      release = resolve;
    });
    const late = steering.set(capped(30));
    for (let i = 0; i < 2000 && !fake.sets().includes(30); i++) await new Promise((resolve) => setTimeout(resolve, 5));
    fake.domain().cap = 77;
    await steering.lookForOthers();
    release();
    expect(await late).toMatchObject({ result: 'skipped', error: expect.stringContaining('somebody else set the cap to 77 %') });
    expect(fake.domain().cap).toBe(77);
    expect(await steering.restore()).toMatchObject({ restored: true, capAfter: 77 });
    expect(fake.domain().cap).toBe(77);
  });
});
