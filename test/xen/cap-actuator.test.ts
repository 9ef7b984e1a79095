import { afterEach, describe, expect, it, vi } from 'vitest';
import { capped, UNCAPPED } from '../../src/core/cap.ts';
import { createActuator } from '../../src/xen/cap-actuator.ts';
import type { Xenctrl } from '../../src/xen/libxenctrl.ts';
import type { RunXl } from '../../src/xen/xl-errors.ts';
import { facts, fakeXl, libraryOn } from './stand-in.ts';

describe('a cap', () => {
  it('goes through libxenctrl where that is there, and xl sets nothing', async () => {
    const fake = fakeXl();
    const actuator = createActuator({ xl: fake.xl, xenctrl: libraryOn(fake), domain: facts(), scheduler: 'credit' });
    expect((await actuator.set(capped(40))).way).toBe('libxenctrl');
    expect(fake.domain().cap).toBe(40);
    expect((await actuator.set(UNCAPPED)).way).toBe('libxenctrl');
    expect([fake.domain().cap, fake.sets()]).toEqual([0, []]);
  });

  it('goes through xl once the library refuses', async () => {
    const fake = fakeXl();
    const actuator = createActuator({ xl: fake.xl, xenctrl: libraryOn(fake, () => false), domain: facts(), scheduler: 'credit' });
    expect((await actuator.set(capped(40))).way).toBe('xl');
    expect([fake.domain().cap, fake.sets()]).toEqual([40, [40]]);
  });

  it('that somebody else changes at once is told, not taken for ours', async () => {
    const fake = fakeXl();
    const library = libraryOn(fake);
    const meddled: Xenctrl = { ...library, getCap: () => capped(77) };
    const actuator = createActuator({ xl: fake.xl, xenctrl: meddled, domain: facts(), scheduler: 'credit' });
    await expect(actuator.set(capped(40))).rejects.toThrow(/reads 77/);
  });
});

describe('whose domid it is', () => {
  const MINUTE_MS = 60_000;
  const actuatorAt = () => {
    const fake = fakeXl();
    let atMs = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => atMs);
    const actuator = createActuator({ xl: fake.xl, xenctrl: libraryOn(fake), domain: facts(), scheduler: 'credit' });
    return { actuator, asked: () => fake.calls.length, pass: (ms: number) => (atMs += ms) };
  };
  afterEach(() => vi.restoreAllMocks());

  it('is asked of xl once, and not again as long as the domain is seen to migrate', async () => {
    const { actuator, asked, pass } = actuatorAt();
    await actuator.set(capped(40));
    const once = asked();
    for (let k = 0; k < 10; k++) {
      pass(20_000);
      actuator.seen();
      await actuator.set(capped(40 - k));
    }
    expect(asked()).toBe(once);
  });

  it('is asked again once nothing was seen of it for long, and what is seen then proves nothing', async () => {
    const { actuator, asked, pass } = actuatorAt();
    await actuator.set(capped(40));
    const once = asked();
    pass(2 * MINUTE_MS);
    actuator.seen();
    await actuator.set(capped(30));
    expect(asked()).toBeGreaterThan(once);
  });
});

describe('a lift while a slow xl does what the library had refused', () => {
  it('comes into force at once through libxenctrl, and again when the slow call has ended', async () => {
    const fake = fakeXl();
    let letGo: () => void = () => {};
    const slow = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const xl: RunXl = async (args) => {
      if (args.includes('-c')) await slow;
      return fake.xl(args);
    };
    let works = false;
    const xenctrl = libraryOn(fake, () => works);
    const actuator = createActuator({ xl, xenctrl, domain: facts(), scheduler: 'credit' });
    const lowering = actuator.set(capped(20)).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
    fake.domain().cap = 50;
    works = true;
    const lifted = await actuator.set(UNCAPPED, { lift: true });
    expect(lifted.way).toBe('libxenctrl');
    expect(fake.domain().cap).toBe(0);
    letGo();
    await lowering;
    await actuator.set(UNCAPPED, { lift: true });
    expect(fake.sets()).toEqual([20]);
    expect(fake.domain().cap).toBe(0);
  });
});
