import { describe, expect, it } from 'vitest';
import { controllerByName } from '../../controllers/registry.ts';
import { goalFor } from '../../src/core/options.ts';
import { findingsOf } from '../../src/core/probe.ts';
import { rehearse, rehearseStock } from '../../src/core/rehearsal.ts';
import { bytesPerSecond, ms, pagesWithin } from '../../src/core/units.ts';
import { learnedPair } from '../../src/sim/facts.ts';
import { simulate, suggestedOptions } from '../../src/sim/run.ts';
import { type NamedScenario, scenarioOf } from '../../src/sim/scenario-files.ts';
import { simulateProbe } from '../../src/sim/sim-probe.ts';

const guest = (writesPerSecond: number, change: object = {}): NamedScenario =>
  scenarioOf({
    description: 'a uniform writer over a quarter of the memory',
    domain: { memoryMib: 4096, cpuDemandPercent: 100 },
    classes: [{ name: 'heap', pages: 262_144, pattern: 'uniform', writesPerSecond }],
    link: { bytesPerSecond: 250e6 },
    host: { roundLimit: 5 },
    ...change,
  });

const working = controllerByName('working-set');

function rehearsed(scenario: NamedScenario, change: { rate?: number; targetMs?: number; onMiss?: 'abort' | 'proceed' } = {}) {
  const { looks, domain, capabilities, linkRate } = simulateProbe(scenario, 1, ms(20_000));
  const findings = findingsOf(looks);
  if (findings === undefined) throw new Error('no findings');
  const options = {
    ...suggestedOptions(scenario),
    targetDowntimeMs: ms(change.targetMs ?? 200),
    onMiss: change.onMiss ?? ('abort' as const),
  };
  const goal = goalFor(options, domain, capabilities, learnedPair(scenario));
  return {
    curve: findings.curve,
    demandPercent: findings.demandPercent ?? 100,
    rate: change.rate === undefined ? linkRate : bytesPerSecond(change.rate),
    goal,
  };
}

describe('a rehearsed migration', () => {
  it('goes as the simulated one goes: stock and working-set', () => {
    const scenario = guest(30_000);
    const on = rehearsed(scenario);
    const [stock, ours] = [rehearseStock(on), rehearse(working, on)];
    const real = simulate({ scenario, seed: 1, controller: working, options: { targetDowntimeMs: ms(200) } });
    const realStock = simulate({
      scenario,
      seed: 1,
      controller: controllerByName('none'),
      options: { targetDowntimeMs: ms(200), onMiss: 'proceed' },
    });
    expect(stock.rounds).toHaveLength(5);
    expect(stock.downtimeMs.value / (realStock.summary.observedDowntimeMs as number)).toBeGreaterThan(0.85);
    expect(stock.downtimeMs.value / (realStock.summary.observedDowntimeMs as number)).toBeLessThan(1.15);
    expect(stock.feasible).toBe(false);
    expect(ours).toMatchObject({ outcome: 'migrates', feasible: true });
    expect(real.summary.outcome).toBe('met');
    expect(ours.capPercentMin).toBeGreaterThan(0);
    expect(Math.abs(ours.totalMs / 1000 - real.summary.totalSeconds) / real.summary.totalSeconds).toBeLessThan(0.1);
  });
  it('an idle guest needs no cap', () => {
    const ours = rehearse(working, rehearsed(guest(100)));
    expect(ours).toMatchObject({ outcome: 'migrates', feasible: true, capPercentMin: 0, stallMaxMs: 0 });
    expect(ours.lostCpuMs).toBeCloseTo(0, 6);
  });
  it('an impossible target stays, with the proof; --on-miss proceed migrates and says that it misses', () => {
    const impossible = { rate: 20e6, targetMs: 70 };
    const stays = rehearse(working, rehearsed(guest(250_000), impossible));
    expect(stays).toMatchObject({ outcome: 'stays', feasible: false });
    expect(stays.reason).toMatch(/best downtime|against a target/);
    expect(rehearse(working, rehearsed(guest(250_000), { ...impossible, onMiss: 'proceed' }))).toMatchObject({
      outcome: 'migrates',
      feasible: false,
    });
  });
  it('a faster link never takes longer, and under stock leaves less', () => {
    const rates = [50e6, 125e6, 500e6, 1250e6].map((rate) => rehearseStock(rehearsed(guest(60_000), { rate })));
    for (let i = 1; i < rates.length; i++) {
      expect(rates[i]?.totalMs).toBeLessThan(rates[i - 1]?.totalMs as number);
      expect(rates[i]?.lastPages).toBeLessThanOrEqual(rates[i - 1]?.lastPages as number);
    }
  });
  it('what it sends is what its rounds send and the rest', () => {
    const ours = rehearse(working, rehearsed(guest(30_000)));
    const inRounds = ours.rounds.reduce((sum, round) => sum + round.pagesToSend, 0);
    expect(ours.bytesSent / 4104).toBeGreaterThanOrEqual(inRounds - 8);
    expect(ours.bytesSent / 4104).toBeLessThanOrEqual(inRounds + ours.lastPages + 8);
    expect(pagesWithin(ms(ours.rounds[0]?.timeMs ?? 0), bytesPerSecond(250e6))).toBeCloseTo(4096 * 256, -2);
  });
  it('with a policy of its own ends when it fits, within its rounds', () => {
    const scenario = guest(30_000, { host: {} });
    const ours = rehearse(working, rehearsed(scenario));
    expect(ours.feasible).toBe(true);
    expect(ours.rounds.length).toBeLessThanOrEqual(30);
  });
});
