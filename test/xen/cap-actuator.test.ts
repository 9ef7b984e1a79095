import { describe, expect, it } from 'vitest';
import { type Cap, capFromXen, capped, UNCAPPED } from '../../src/core/cap.ts';
import { createActuator } from '../../src/xen/cap-actuator.ts';
import type { Xenctrl } from '../../src/xen/libxenctrl.ts';
import type { RunXl } from '../../src/xen/xl-errors.ts';
import { facts, fakeXl } from './stand-in.ts';

describe('a lift while xl is slow', () => {
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
    const xenctrl: Xenctrl = {
      library: 'test',
      dirtyPages: () => undefined,
      cpu: () => undefined,
      getCap: (): Cap => capFromXen(fake.domain().cap),
      setCap: (_domid, _scheduler, cap) => {
        fake.domain().cap = cap.kind === 'uncapped' ? 0 : cap.percent;
        return true;
      },
      close: () => {},
    };
    const actuator = createActuator({ xl, xenctrl, domain: facts(), scheduler: 'credit' });
    const lowering = actuator.set(capped(20)).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 20));
    fake.domain().cap = 50;
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
