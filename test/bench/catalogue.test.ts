import { describe, expect, it } from 'vitest';
import { loadScenario, type NamedScenario, scenarioNames } from '../../src/sim/scenario-files.ts';
import { optionsOf } from './case.ts';
import { type Reference, referenceOf } from './reference.ts';

const all = scenarioNames().map((name) => loadScenario(name));
const span = (of: (s: NamedScenario) => number): readonly [number, number] => [Math.min(...all.map(of)), Math.max(...all.map(of))];
const planned = (name: string, seed: number): Reference => {
  const scenario = loadScenario(name);
  return referenceOf(scenario, seed, optionsOf(scenario, 'steep'));
};
const SEEDS = [1, 2, 3];

describe('the shipped scenarios', () => {
  it('are at least thirty, from below 1 GiB to 1 TiB, 1 to 64 vCPUs, below 1 to nearly 100 Gb/s', () => {
    expect(all.length).toBeGreaterThanOrEqual(30);
    const [smallest, largest] = span((s) => s.domain.memoryMib);
    expect(smallest).toBeLessThanOrEqual(1024);
    expect(largest).toBe(1_048_576);
    expect(span((s) => s.domain.vcpus)).toEqual([1, 64]);
    const [slowest, fastest] = span((s) => (s.link.bytesPerSecond * 8) / 1e9);
    expect(slowest).toBeLessThanOrEqual(1);
    expect(fastest).toBeGreaterThan(70);
  });

  it('say in one line what they are and why', () => {
    for (const { name, description } of all) expect(description, name).toMatch(/^[^\n]{40,240}\.$/);
  });

  it.each(['idle', 'web-server', 'large-idle', 'packet-forwarder'])('%s needs no throttling', (name) => {
    for (const seed of SEEDS) expect(planned(name, seed)).toMatchObject({ attained: true, feasible: true, lostSeconds: 0 });
  });

  it.each(['hopeless', 'memory-hog-1g', 'backup-target'])('%s cannot be done, as it says', (name) => {
    for (const seed of SEEDS) expect(planned(name, seed)).toMatchObject({ attained: false, feasible: false });
  });

  it.each(['busy-database', 'stress', 'analytics-1t', 'memory-hog', 'one-busy-thread', 'machine-learning'])(
    '%s can be done, at a price',
    (name) => {
      for (const seed of SEEDS) {
        const { attained, lostSeconds } = planned(name, seed);
        expect(attained).toBe(true);
        expect(lostSeconds).toBeGreaterThan(0.5);
      }
    },
  );
});
