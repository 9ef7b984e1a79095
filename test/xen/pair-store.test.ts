import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_PAIR } from '../../src/core/options.ts';
import { bytesPerSecond, ms } from '../../src/core/units.ts';
import { estimatePair, learnPair, loadPair, loadRate } from '../../src/xen/pair-store.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'xthrottle-pairs-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('the fixed cost of a pair of hosts', () => {
  it('is the documented default until a migration was seen', async () => {
    expect(await loadPair('b', directory)).toEqual(DEFAULT_PAIR);
  });
  it('is learned for each destination by itself', async () => {
    await learnPair('b', { overheadMs: ms(400), suspendLatencyMs: ms(120) }, directory);
    const { overheadMs, suspendLatencyMs } = await loadPair('b', directory);
    expect([overheadMs.value, suspendLatencyMs.value]).toEqual([400, 120]);
    expect(overheadMs.low).toBeLessThan(400);
    expect(overheadMs.high).toBeGreaterThan(400);
    expect(await loadPair('c', directory)).toEqual(DEFAULT_PAIR);
  });
  it('learns the rate, too; a store of an earlier version has none', async () => {
    expect(await loadRate('b', directory)).toBeUndefined();
    await learnPair('b', { overheadMs: ms(400) }, directory);
    expect(await loadRate('b', directory)).toBeUndefined();
    for (const rate of [100e6, 900e6, 110e6])
      await learnPair('b', { overheadMs: ms(400), bytesPerSecond: bytesPerSecond(rate) }, directory);
    expect(await loadRate('b', directory)).toBe(110e6);
    writeFileSync(join(directory, 'pairs.json'), JSON.stringify({ v: 1, pairs: [['old', { overheadMs: [30], suspendLatencyMs: [5] }]] }));
    expect(await loadRate('old', directory)).toBeUndefined();
    expect((await loadPair('old', directory)).overheadMs.value).toBe(30);
  });
  it('forgets old hosts: only the last sixteen count', async () => {
    for (let i = 0; i < 16; i++) await learnPair('b', { overheadMs: ms(1000) }, directory);
    for (let i = 0; i < 16; i++) await learnPair('b', { overheadMs: ms(50) }, directory);
    expect((await loadPair('b', directory)).overheadMs).toEqual({ value: 50, low: 50, high: 50 });
  });
  it.each(['__proto__', 'constructor', '../../x', 'unset A; pv | xl migrate-receive'])(
    'takes %s for a destination like any other',
    async (destination) => {
      await learnPair(destination, { overheadMs: ms(400) }, directory);
      expect((await loadPair(destination, directory)).overheadMs.value).toBe(400);
      expect(await loadPair('toString', directory)).toEqual(DEFAULT_PAIR);
    },
  );
  it.each(['', '{', '[]', '{"v":2}', '{"v":1,"pairs":[["b",{"overheadMs":["x"],"suspendLatencyMs":[]}],7]}'])(
    'starts anew from a broken file: %s',
    async (text) => {
      writeFileSync(join(directory, 'pairs.json'), text);
      expect(await loadPair('b', directory)).toEqual(DEFAULT_PAIR);
    },
  );
  it('is not moved far by one outlier, and its range always holds its value', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: 100, max: 200, noNaN: true }), { minLength: 5, maxLength: 15 }),
        fc.nat(100_000),
        (usual, outlier) => {
          const { overheadMs } = estimatePair({ overheadMs: [...usual, outlier], suspendLatencyMs: [] });
          expect(overheadMs.value).toBeGreaterThanOrEqual(100);
          expect(overheadMs.value).toBeLessThanOrEqual(200);
          expect(overheadMs.high).toBeLessThanOrEqual(200);
          expect(overheadMs.low).toBeLessThanOrEqual(overheadMs.value);
          expect(overheadMs.high).toBeGreaterThanOrEqual(overheadMs.value);
        },
      ),
    );
  });
});
