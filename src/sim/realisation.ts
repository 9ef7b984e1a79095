import { type Ms, ms, WIRE_BYTES_PER_PAGE } from '../core/units.ts';
import { gauss, unit } from './random.ts';
import type { Scenario } from './scenario.ts';

/** What the world brings at one time, whatever anybody decides: factor on each class's write rate, CPU demand, and until when it holds. */
export interface Weather {
  readonly untilMs: number;
  readonly scales: readonly number[];
  readonly factor: number;
  readonly demandPercent: number;
}

/** Buckets of noise in a round 0 at the nominal rate, and the shortest bucket. */
const BUCKETS_PER_COPY = 2000;
const BUCKET_MS_MIN = 10;
/** Beyond so many buckets the link runs at its nominal rate: every search ends. */
const BUCKETS_MAX = 400_000;

interface Phases {
  readonly startsMs: readonly number[];
  readonly scales: readonly (readonly number[])[];
  readonly demands: readonly number[];
  readonly repeatMs: number;
  readonly shiftMs: number;
}

/**
 * One realisation of a scenario's noise and phases: functions of (seed, time) alone. The caches grow on demand and hold nothing that
 * depends on decisions, so all clones of a world share them.
 */
export class Realisation {
  readonly bucketMs: number;
  readonly seed: number;
  readonly #scenario: Scenario;
  readonly #phases: Phases;
  readonly #variesWrites: boolean;
  /** Bytes that fit through the link until the start of bucket k. */
  readonly #linkBytes: number[] = [0];
  readonly #writeFactors: number[] = [];
  #linkWalk = { deviation: 0, stallUntil: -1 };
  #writeWalk = { deviation: 0, burstUntil: -1 };

  constructor(scenario: Scenario, seed: number) {
    this.#scenario = scenario;
    this.seed = seed;
    const copyMs = (scenario.domain.memoryMib * 256 * WIRE_BYTES_PER_PAGE * 1000) / scenario.link.bytesPerSecond;
    this.bucketMs = Math.max(BUCKET_MS_MIN, copyMs / BUCKETS_PER_COPY);
    this.#phases = phasesOf(scenario, seed);
    this.#variesWrites = scenario.rateVariation.sd > 0 || scenario.bursts !== undefined;
  }

  /** When `bytes` that start at `fromMs` are through the link. */
  sentAt(fromMs: number, bytes: number): Ms {
    const target = this.bytesUntil(fromMs) + bytes;
    let low = Math.floor(fromMs / this.bucketMs);
    let high = low + 1;
    while (this.#linkAt(high) < target && high < BUCKETS_MAX) {
      low = high;
      high = Math.min(BUCKETS_MAX, high + Math.max(1, high - Math.floor(fromMs / this.bucketMs)));
    }
    const perMs = this.#scenario.link.bytesPerSecond / 1000;
    if (this.#linkAt(high) < target) return ms(Math.max(fromMs, high * this.bucketMs + (target - this.#linkAt(high)) / perMs));
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.#linkAt(middle) < target) low = middle;
      else high = middle;
    }
    const [a, b] = [this.#linkAt(low), this.#linkAt(high)];
    const at = b > a ? (low + (target - a) / (b - a)) * this.bucketMs : high * this.bucketMs;
    return ms(Math.max(fromMs, at));
  }

  /** Bytes that fit through the link from the start until `atMs`. */
  bytesUntil(atMs: number): number {
    const k = Math.min(BUCKETS_MAX, Math.floor(atMs / this.bucketMs));
    const a = this.#linkAt(k);
    const rest = atMs - k * this.bucketMs;
    if (k >= BUCKETS_MAX) return a + (rest * this.#scenario.link.bytesPerSecond) / 1000;
    return rest > 0 ? a + ((this.#linkAt(k + 1) - a) * rest) / this.bucketMs : a;
  }

  weather(atMs: number): Weather {
    const { startsMs, scales, demands, repeatMs, shiftMs } = this.#phases;
    const shifted = atMs + shiftMs;
    const lap = Number.isFinite(repeatMs) ? Math.floor(shifted / repeatMs + 1e-9) : 0;
    const inLap = lap === 0 ? shifted : shifted - lap * repeatMs;
    let i = 0;
    while (i + 1 < startsMs.length && (startsMs[i + 1] as number) <= inLap + 1e-6) i++;
    const phaseEnd = startsMs[i + 1] ?? repeatMs;
    let untilMs = Number.isFinite(phaseEnd) ? (lap === 0 ? 0 : lap * repeatMs) + phaseEnd - shiftMs : Number.POSITIVE_INFINITY;
    let factor = 1;
    if (this.#variesWrites) {
      const k = Math.floor(atMs / this.bucketMs + 1e-9);
      factor = this.#writesAt(k);
      untilMs = Math.min(untilMs, (k + 1) * this.bucketMs);
    }
    return { untilMs: Math.max(untilMs, atMs + 1e-3), scales: scales[i] as readonly number[], factor, demandPercent: demands[i] as number };
  }

  #linkAt(k: number): number {
    const { link } = this.#scenario;
    const known = this.#linkBytes;
    while (known.length <= k) {
      const i = known.length - 1;
      const rho = Math.exp(-this.bucketMs / 1000 / link.variation.correlationSeconds);
      const walk = this.#linkWalk;
      walk.deviation = rho * walk.deviation + Math.sqrt(1 - rho * rho) * gauss(this.seed, 'link', i);
      let factor = Math.min(1.5, Math.max(0.1, 1 + link.variation.sd * walk.deviation));
      factor *= this.#sagged(i);
      if (link.stalls !== undefined) {
        if (i > walk.stallUntil && unit(this.seed, 'link-stall', i) < this.bucketMs / 1000 / link.stalls.meanGapSeconds)
          walk.stallUntil = i + (link.stalls.lengthSeconds * 1000) / this.bucketMs;
        if (i <= walk.stallUntil) factor *= link.stalls.share;
      }
      known.push((known[i] as number) + (factor * link.bytesPerSecond * this.bucketMs) / 1000);
    }
    return known[k] as number;
  }

  /** Mean share of the rate that the sags leave in bucket `i`. */
  #sagged(i: number): number {
    let left = 1;
    const from = (i * this.bucketMs) / 1000;
    const to = from + this.bucketMs / 1000;
    for (const sag of this.#scenario.link.sags) {
      const every = sag.everySeconds;
      const lap = every === undefined ? 0 : Math.max(0, Math.floor((from - sag.atSeconds) / every));
      let covered = 0;
      for (const n of [lap, lap + 1]) {
        if (n > 0 && every === undefined) break;
        const start = sag.atSeconds + n * (every ?? 0);
        covered += Math.max(0, Math.min(to, start + sag.lengthSeconds) - Math.max(from, start));
      }
      left *= 1 - Math.min(1, covered / (to - from)) * (1 - sag.share);
    }
    return left;
  }

  #writesAt(k: number): number {
    const { rateVariation, bursts } = this.#scenario;
    const known = this.#writeFactors;
    while (known.length <= k) {
      const i = known.length;
      const rho = Math.exp(-this.bucketMs / 1000 / rateVariation.correlationSeconds);
      const walk = this.#writeWalk;
      walk.deviation = rho * walk.deviation + Math.sqrt(1 - rho * rho) * gauss(this.seed, 'writes', i);
      let factor = Math.max(0.05, 1 + rateVariation.sd * walk.deviation);
      if (bursts !== undefined) {
        if (i > walk.burstUntil && unit(this.seed, 'burst', i) < this.bucketMs / 1000 / bursts.meanGapSeconds)
          walk.burstUntil = i + (bursts.lengthSeconds * 1000) / this.bucketMs;
        if (i <= walk.burstUntil) factor *= bursts.scale;
      }
      known.push(factor);
    }
    return known[k] as number;
  }
}

function phasesOf(scenario: Scenario, seed: number): Phases {
  const first = scenario.phases[0]?.atSeconds === 0 ? [] : [{ atSeconds: 0, scale: 1, cpuDemandPercent: undefined }];
  const list = [...first, ...scenario.phases];
  return {
    startsMs: list.map((p) => p.atSeconds * 1000),
    scales: list.map((p) => scenario.classes.map((c) => (typeof p.scale === 'number' ? p.scale : (p.scale[c.name] ?? 1)))),
    demands: list.map((p) => p.cpuDemandPercent ?? scenario.domain.cpuDemandPercent),
    repeatMs: (scenario.phasesRepeatSeconds ?? Number.POSITIVE_INFINITY) * 1000,
    shiftMs: scenario.phasesShiftSeconds * 1000 * unit(seed, 'phase', 0),
  };
}
