import { describe, expect, it } from 'vitest';
import { type Setting, World } from '../../faults/world.ts';
import { SimXthrottle } from '../../faults/xthrottle.ts';

const setting: Setting = {
  guest: { pages: 200_000, hotPages: 30_000, pagesPerSecond: 40_000, vcpus: 1 },
  // 400 MB/s: a report of 1024 frames every 10 ms.
  linkPagesPerSecond: 100_000,
  capOriginal: 0,
  mode: 'watch',
  onMiss: 'proceed',
  targetMs: 400,
  peek: true,
  controller: 'working-set',
};

describe('a relay on a fast link', () => {
  it('does not fall behind the helper: a suspend request is asked about when it comes', async () => {
    const world = new World(setting, 1);
    const xthrottle = new SimXthrottle(world);
    xthrottle.start();
    world.time.after(500, undefined, () => world.migrate());
    let askedAtMs = Number.NaN;
    let heardAtMs = Number.NaN;
    world.onAsked = () => {
      heardAtMs = world.time.nowMs;
      askedAtMs = world.migration?.helper?.askedAtMs ?? Number.NaN;
    };
    await world.time.run(120_000, () => heardAtMs > 0);
    // Virtual time: two pauses of the relay at most.
    expect(heardAtMs - askedAtMs).toBeLessThan(100);
  });
});
