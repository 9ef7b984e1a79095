import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseBandwidth, parseDuration, parsePairs, parseWhole } from '../../src/cli/quantities.ts';

describe('durations', () => {
  it.each([
    ['200ms', 200],
    ['2s', 2000],
    ['1.5s', 1500],
    ['10m', 600_000],
    ['1h', 3_600_000],
  ])('%s', (text, want) => {
    expect(parseDuration('--deadline', text)).toBe(want);
  });
  it.each(['200', '0ms', '-5ms', 'abc', '', '200 parsecs', '2d', '1e3ms', '99999h'])(
    '%j is refused with what was expected and got',
    (text) => {
      expect(() => parseDuration('--target-downtime', text)).toThrow(/--target-downtime expects a duration with a unit, got/);
    },
  );
  it('takes every whole number of milliseconds', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 86_400_000 }), (n) => parseDuration('x', `${n}ms`) === n));
  });
});

describe('whole numbers and pairs', () => {
  it('refuses fractions, signs and values out of bounds', () => {
    for (const bad of ['12.5', '-1', 'abc', '', '0', '101'])
      expect(() => parseWhole('--min-cap', bad, 1, 100)).toThrow(/--min-cap expects a whole number from 1 to 100/);
    expect(parseWhole('--min-cap', '100', 1, 100)).toBe(100);
  });
  it('reads name=number', () => {
    expect(parsePairs('-o', ['step=10', 'free-rounds=2'])).toEqual({ step: 10, 'free-rounds': 2 });
    expect(() => parsePairs('-o', ['step'])).toThrow(/expects name=number, got "step"/);
  });
});

describe('rates', () => {
  it.each([
    ['1Gbit/s', 125e6],
    ['800 mbit/s', 100e6],
    ['110MB/s', 110e6],
    ['1.5MiB/s', 1_572_864],
  ])('%s is %d bytes a second', (text, bytesPerSecond) => {
    expect(parseBandwidth('--bandwidth', text)).toBe(bytesPerSecond);
  });
  it.each(['1000', '1Gbit', '0MB/s', '-1MB/s', '1 furlong/s', '', 'MB/s'])('%j is refused', (text) => {
    expect(() => parseBandwidth('--bandwidth', text)).toThrow(/--bandwidth expects a rate with a unit/);
  });
});
