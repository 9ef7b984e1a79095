import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { XthrottleError } from '../../src/core/errors.ts';
import { simulate } from '../../src/sim/run.ts';
import { type ScenarioInput, scenarioJsonSchema } from '../../src/sim/scenario.ts';
import { loadScenario, scenarioNames, scenarioOf } from '../../src/sim/scenario-files.ts';
import { capFrom, stock } from './arbitrary.ts';

const valid: ScenarioInput = {
  description: 'a guest',
  domain: { memoryMib: 64, cpuDemandPercent: 50 },
  classes: [{ name: 'heap', pages: 100, writesPerSecond: 10 }],
  link: { bytesPerSecond: 1e8 },
};

const failure = (run: () => unknown): XthrottleError => {
  try {
    run();
  } catch (error) {
    if (error instanceof XthrottleError) return error;
    throw error;
  }
  throw new Error('expected it to throw');
};

describe('a scenario file', () => {
  it('is found by the name of a shipped one and by path', () => {
    const path = join(mkdtempSync(join(tmpdir(), 'scenario-')), 'mine.json');
    writeFileSync(path, JSON.stringify(valid));
    expect(loadScenario(path)).toMatchObject({ name: expect.stringContaining('mine'), domain: { memoryMib: 64, vcpus: 1 } });
    expect(loadScenario('idle').name).toBe('idle');
  });

  it('is refused with the name of what is not there and what there is', () => {
    const error = failure(() => loadScenario('no-such'));
    expect(error.exit).toBe('usage');
    expect(error.message).toContain('no-such');
    expect(error.hint).toContain('busy-database');
    expect(failure(() => loadScenario('./no/such.json')).exit).toBe('usage');
  });

  it.each<[string, object, string]>([
    ['a field that is missing', { ...valid, link: undefined }, 'link'],
    ['a field that is unknown', { ...valid, colour: 1 }, 'colour'],
    ['a number out of range', { ...valid, link: { bytesPerSecond: -1 } }, 'link.bytesPerSecond'],
    [
      'more pages than memory',
      { ...valid, classes: [{ name: 'heap', pages: 1e6, writesPerSecond: 1 }] },
      '16384 pages of 64 MiB, got 1000000',
    ],
    ['more demand than vCPUs', { ...valid, domain: { memoryMib: 64, cpuDemandPercent: 150 } }, 'at most 100'],
    ['a phase of a class that is not there', { ...valid, phases: [{ atSeconds: 1, scale: { heep: 2 } }] }, 'heep'],
    ['phases out of order', { ...valid, phases: [{ atSeconds: 2 }, { atSeconds: 1 }] }, 'order of time'],
    ['a p2m smaller than memory', { ...valid, domain: { ...valid.domain, p2mFrames: 10 } }, 'p2mFrames'],
  ])('is refused for %s, naming it', (_, input, named) => {
    const error = failure(() => scenarioOf(input as ScenarioInput));
    expect(error.exit).toBe('usage');
    expect(error.message).toContain(named);
    expect(error.hint).toBeDefined();
  });

  it('has a JSON schema that describes its fields', () => {
    const schema = JSON.stringify(scenarioJsonSchema());
    for (const field of ['memoryMib', 'writesPerSecond', 'roundLimit', 'suggested']) expect(schema).toContain(field);
  });
});

describe('the shipped scenarios', () => {
  it.each(scenarioNames())('%s runs to its end under stock rounds and under a cap', (name) => {
    const scenario = loadScenario(name);
    for (const controller of [stock, capFrom(1, 30)]) {
      const { truth, summary } = simulate({ scenario, seed: 1, controller });
      expect(truth.result).toBe('migrated');
      expect(truth.downtimeMs).toBeGreaterThan(0);
      expect(summary.observedDowntimeMs).toBe(truth.downtimeMs);
    }
  });

  it('say in a busy database what stock Xen does to it: seconds of standstill, though an idle guest fits its target', () => {
    const busy = simulate({ scenario: loadScenario('busy-database'), seed: 1, controller: stock });
    expect(busy.truth.downtimeMs).toBeGreaterThan(1000);
    expect(busy.summary.outcome).toBe('missed');
    expect(simulate({ scenario: loadScenario('idle'), seed: 1, controller: stock }).summary.outcome).toBe('met');
  });

  it('are met at the floor by the busy database and never by the hopeless one', () => {
    const last = (name: string) => {
      const scenario = loadScenario(name);
      return simulate({ scenario, seed: 1, controller: capFrom(2, 1) }).summary.outcome;
    };
    expect(last('busy-database')).toBe('met');
    expect(last('hopeless')).toBe('missed');
  });
});
