import { describe, expect, it } from 'vitest';
import { simulate } from '../../src/sim/run.ts';
import { loadScenario, scenarioNames } from '../../src/sim/scenario-files.ts';
import { stock } from './arbitrary.ts';

const run = (mechanism: 'pre-copy' | 'post-copy' | 'hybrid', scenario: string) =>
  simulate({ scenario: loadScenario(scenario), seed: 1, controller: stock, world: { mechanism } }).truth;

describe('mechanisms that Xen does not have', () => {
  it('post-copy stops a busy guest briefly and makes it pay afterwards; every page goes once', () => {
    const [pre, post] = [run('pre-copy', 'busy-database'), run('post-copy', 'busy-database')];
    expect(post.downtimeMs).toBeLessThan((pre.downtimeMs ?? 0) / 10);
    expect(post.degradedSeconds).toBeGreaterThan(0);
    expect(post.bytesSent).toBeLessThan(pre.bytesSent);
  });

  it('hybrid waits less for pages than post-copy where a round leaves little behind', () => {
    const [post, hybrid] = [run('post-copy', 'hot-cold'), run('hybrid', 'hot-cold')];
    expect(hybrid.degradedSeconds).toBeGreaterThan(0);
    expect(hybrid.degradedSeconds).toBeLessThan(post.degradedSeconds);
    expect(hybrid.bytesSent).toBeGreaterThan(post.bytesSent);
  });

  it('hybrid sends again what the round before it left dirty: half of the memory of a guest that writes so much', () => {
    const [post, hybrid] = [run('post-copy', 'busy-database'), run('hybrid', 'busy-database')];
    expect(hybrid.bytesSent).toBeGreaterThan(1.4 * post.bytesSent);
    expect(hybrid.degradedSeconds).toBeGreaterThan(1);
  });
});

it('tells what a simulated migration costs', () => {
  const rows = scenarioNames().map((name) => {
    const scenario = loadScenario(name);
    const startedAtMs = performance.now();
    const { decisions, truth } = simulate({ scenario, seed: 2, controller: stock });
    return { name, ms: performance.now() - startedAtMs, decisions, seconds: truth.totalSeconds };
  });
  const slowest = [...rows].sort((a, b) => b.ms - a.ms)[0];
  const totalMs = rows.reduce((sum, row) => sum + row.ms, 0);
  console.info(`${rows.length} simulated migrations in ${totalMs.toFixed(0)} ms; slowest ${slowest?.name}: ${slowest?.ms.toFixed(1)} ms`);
  for (const row of rows) expect(row.decisions).toBeLessThan(5000);
});
