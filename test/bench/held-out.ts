import { ROUNDS_MAX_DEFAULT } from '../../src/core/index.ts';
import type { ScenarioInput } from '../../src/sim/scenario.ts';
import { type NamedScenario, scenarioOf } from '../../src/sim/scenario-files.ts';

/** The held-out set is drawn from this; the text is printed with every result. */
export const DISTRIBUTION = [
  'link: 1 … 100 Gb/s, log-uniform, 90 % of it usable, ±0 … 15 %; one in ten sags to 30 … 70 % for 2 … 8 s, twice a minute or more',
  'memory: 1 GiB … 1 TiB, log-uniform, at most what the link sends in 5 minutes',
  'vCPUs: 1 … 64, powers of two, at most the one nearest to memory / 512 MiB; demand: 30 … 100 % of them',
  'writes at full speed: 0.15 … 10 × the pages that the link sends, log-uniform, onto 1 … 60 % of the memory, ±0 … 20 %',
  'patterns: uniform, sweep or hot-cold (hot: 3 … 20 % of the pages, 60 … 95 % of the writes), beside a small kernel set;',
  '  one in four has 1 … 15 % of its writes from devices; one in four has a busy phase (×2 … ×8), one in eight bursts or lulls',
  `target: 150 … 600 ms, log-uniform; three in five with stock’s five rounds, else at most ${ROUNDS_MAX_DEFAULT}; one in ten under credit2`,
] as const;

/** Uniform draws in [0, 1), reproducible: Weyl steps through an avalanche. */
function drawer(seed: number, index: number): () => number {
  let state = (Math.imul(seed | 0, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca77)) >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let x = state;
    x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return ((x ^ (x >>> 15)) >>> 0) / 2 ** 32;
  };
}

interface Dice {
  uniform(low: number, high: number): number;
  log(low: number, high: number): number;
  chance(share: number): boolean;
}

function dice(seed: number, index: number): Dice {
  const next = drawer(seed, index);
  const uniform = (low: number, high: number): number => low + (high - low) * next();
  return { uniform, log: (low, high) => low * (high / low) ** next(), chance: (share) => next() < share };
}

/** The `index`-th held-out scenario of a seed. */
export function drawScenario(seed: number, index: number): NamedScenario {
  const d = dice(seed, index);
  const bytesPerSecond = 0.9 * 125e6 * d.log(1, 100);
  const memoryMib = Math.max(1024, Math.round(d.log(1024, Math.min(1048576, (bytesPerSecond * 300) / 2 ** 20))));
  const vcpus = 2 ** Math.round(d.uniform(0, Math.min(6, Math.log2(memoryMib / 512))));
  const credit2 = d.chance(0.1);
  const input: ScenarioInput = {
    description: `drawn by seed ${seed}, number ${index}`,
    domain: { memoryMib, vcpus, cpuDemandPercent: Math.round(vcpus * d.uniform(30, 100)) },
    ...writers(d, memoryMib * 256, bytesPerSecond / 4104, vcpus),
    link: {
      bytesPerSecond: Math.round(bytesPerSecond),
      variation: { sd: d.uniform(0, 0.15), correlationSeconds: d.uniform(1, 5) },
      ...sags(d),
    },
    resume: { timeMs: Math.round(d.uniform(20, 70)) },
    host: {
      ...(d.chance(0.6) ? { roundLimit: 5 } : {}),
      ...(credit2 ? { scheduler: 'credit2' as const } : {}),
      actuatorLatencyMs: Math.round(d.uniform(5, 60)),
    },
    suggested: { targetDowntimeMs: Math.round(d.log(150, 600)) },
  };
  return scenarioOf(input, `drawn-${index}`);
}

function writers(
  d: Dice,
  memoryPages: number,
  sentPerSecond: number,
  vcpus: number,
): Pick<ScenarioInput, 'classes' | 'rateVariation' | 'phases' | 'phasesRepeatSeconds' | 'phasesShiftSeconds' | 'bursts'> {
  const writes = sentPerSecond * d.log(0.15, 10);
  const pages = Math.round(memoryPages * d.uniform(0.01, 0.6));
  const byDevices = d.chance(0.25) ? d.log(0.01, 0.15) : 0;
  const kind = d.uniform(0, 3);
  const pattern =
    kind < 1
      ? { pattern: 'uniform' as const }
      : kind < 2
        ? { pattern: 'sweep' as const }
        : { pattern: 'hot-cold' as const, hotPagesShare: d.uniform(0.03, 0.2), hotWritesShare: d.uniform(0.6, 0.95) };
  const classes = [
    { name: 'application', pages, writesPerSecond: Math.round(writes * (1 - byDevices)), ...pattern },
    { name: 'kernel', pages: 1500 + 500 * vcpus, writesPerSecond: 300 * vcpus },
    ...(byDevices === 0
      ? []
      : [
          {
            name: 'devices',
            pages: Math.round(pages * 0.2) + 1,
            writesPerSecond: Math.round(writes * byDevices),
            pattern: 'sweep' as const,
            ignoresCpu: true,
          },
        ]),
  ];
  const rateVariation = { sd: d.uniform(0, 0.2), correlationSeconds: d.uniform(1, 5) };
  if (d.chance(0.25)) {
    const repeat = d.uniform(20, 90);
    const phases = [
      { atSeconds: 0, scale: 1 },
      { atSeconds: repeat * d.uniform(0.5, 0.85), scale: d.uniform(2, 8) },
    ];
    return { classes, rateVariation, phases, phasesRepeatSeconds: repeat, phasesShiftSeconds: repeat };
  }
  if (!d.chance(1 / 6)) return { classes, rateVariation };
  const scale = d.chance(0.5) ? d.uniform(2, 6) : d.uniform(0.05, 0.4);
  return { classes, rateVariation, bursts: { meanGapSeconds: d.uniform(8, 30), lengthSeconds: d.uniform(1, 5), scale } };
}

function sags(d: Dice): Pick<ScenarioInput['link'], 'sags'> {
  if (!d.chance(0.1)) return {};
  const everySeconds = d.uniform(12, 30);
  return { sags: [{ atSeconds: d.uniform(0, 20), lengthSeconds: d.uniform(2, 8), share: d.uniform(0.3, 0.7), everySeconds }] };
}
