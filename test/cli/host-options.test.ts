import { describe, expect, it } from 'vitest';
import { balloonOf, tsliceOf } from '../../src/cli/host-options.ts';

describe('--tslice', () => {
  it('is a whole number of milliseconds that Xen takes', () => {
    expect(tsliceOf({})).toBeUndefined();
    expect(tsliceOf({ tslice: '5ms' })).toBe(5);
    expect(tsliceOf({ tslice: '1s' })).toBe(1000);
    for (const tslice of ['5', '0ms', '0.5ms', '1001ms', '2s', '-5ms', ''])
      expect(() => tsliceOf({ tslice }), tslice).toThrow(expect.objectContaining({ exit: 'usage' }));
  });
});

describe('--balloon', () => {
  it('is a size with a unit, as xl has it, or auto', () => {
    expect(balloonOf({})).toBeUndefined();
    expect(balloonOf({ balloon: 'auto' })).toEqual({ kind: 'auto' });
    expect(balloonOf({ balloon: '64m' })).toEqual({ kind: 'size', kib: 65_536 });
    expect(balloonOf({ balloon: '4G' })).toEqual({ kind: 'size', kib: 4 * 1024 ** 2 });
    expect(balloonOf({ balloon: '2GiB' })).toEqual({ kind: 'size', kib: 2 * 1024 ** 2 });
    for (const balloon of ['64', '0m', '-1g', 'half', '', '1e9m', '4g; reboot'])
      expect(() => balloonOf({ balloon }), balloon).toThrow(expect.objectContaining({ exit: 'usage' }));
  });
});
