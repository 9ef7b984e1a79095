import type { BytesPerSecond } from '../core/units.ts';
import { bytesPerSecond, WIRE_BYTES_PER_PAGE } from '../core/units.ts';
import { unit } from './random.ts';
import { type NamedScenario, scenarioOf } from './scenario-files.ts';

/** A host to drain: its guests, and the link that they share. */
export interface HostToDrain {
  readonly scenarios: readonly NamedScenario[];
  readonly link: BytesPerSecond;
  /** What a single stream gets at most (the CPU of ssh). */
  readonly streamMax: BytesPerSecond;
}

/** What hosts are drawn from; printed with every result. */
export const HOST_DISTRIBUTION = [
  'link: 10 Gb/s, 90 % of it usable; on every other host a single stream gets 35 … 70 % of that',
  'guests: 1 … 32 GiB, log-uniform, 1 … 8 vCPUs; writes 0.02 … 1.2 × the pages that the link sends, log-uniform, onto 1 … 30 % of the memory,',
  '  uniform, sweep or hot-cold, ±0 … 20 %; one guest in twenty writes 3 … 6 × the link onto half of its memory: no cap makes that fit',
] as const;

const LINK = bytesPerSecond(0.9 * 1.25e9);
const DRAWS = 16;

/** The host of a seed. */
export function drawHost(seed: number, guests: number): HostToDrain {
  const draw = (n: number): number => unit(seed, 'evacuation', n);
  const streamMax = draw(0) < 0.5 ? LINK : bytesPerSecond(LINK * (0.35 + 0.35 * draw(1)));
  return { link: LINK, streamMax, scenarios: Array.from({ length: guests }, (_, i) => drawGuest(i, (n) => draw(DRAWS * (i + 1) + n))) };
}

function drawGuest(index: number, draw: (n: number) => number): NamedScenario {
  const log = (n: number, low: number, high: number): number => low * (high / low) ** draw(n);
  const memoryMib = Math.round(log(0, 1024, 32_768));
  const vcpus = 2 ** Math.round(3 * draw(1));
  const hopeless = draw(2) < 0.05;
  const pages = Math.max(2000, Math.round(memoryMib * 256 * (hopeless ? 0.5 : 0.01 + 0.29 * draw(3))));
  const linkPages = LINK / WIRE_BYTES_PER_PAGE;
  const writes = linkPages * (hopeless ? 3 + 3 * draw(4) : log(4, 0.02, 1.2));
  const kind = draw(5);
  const pattern =
    hopeless || kind < 1 / 3
      ? { pattern: 'uniform' as const }
      : kind < 2 / 3
        ? { pattern: 'sweep' as const }
        : { pattern: 'hot-cold' as const, hotPagesShare: 0.03 + 0.17 * draw(6), hotWritesShare: 0.6 + 0.35 * draw(7) };
  return scenarioOf(
    {
      description: `guest ${index + 1} of a host that is drained`,
      domain: { name: `vm${index + 1}`, memoryMib, vcpus, cpuDemandPercent: Math.round(100 * vcpus * (0.3 + 0.7 * draw(8))) },
      classes: [{ name: 'application', pages, writesPerSecond: Math.round(writes), ...pattern }],
      rateVariation: { sd: 0.2 * draw(9), correlationSeconds: 1 + 4 * draw(10) },
      link: { bytesPerSecond: LINK },
      suggested: { targetDowntimeMs: 300 },
    },
    `vm${index + 1}`,
  );
}
