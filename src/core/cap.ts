import { type CpuPercent, cpuPercent } from './units.ts';

/**
 * A domain's CPU cap. Xen writes "none" as 0; that sentinel lives only in `capFromXen` and `capToXen`,
 * so that no arithmetic can round a low cap to "uncapped".
 */
export type Cap = { readonly kind: 'uncapped' } | { readonly kind: 'capped'; readonly percent: CpuPercent };

export const UNCAPPED: Cap = { kind: 'uncapped' };

/** A cap of `percent` of one pCPU, rounded to a whole percent; at least 1. Throws RangeError on NaN, infinities and values below 0. */
export function capped(percent: number): Cap {
  if (!Number.isFinite(percent) || percent < 0) {
    throw new RangeError(`a cap is a finite percentage of at least 1, got ${percent}`);
  }
  return { kind: 'capped', percent: cpuPercent(Math.max(1, Math.round(percent))) };
}

/** Xen's number (0 = none, else percent of one pCPU) as a cap. Throws RangeError unless it is a whole number ≥ 0. */
export function capFromXen(value: number): Cap {
  if (!Number.isInteger(value) || value < 0) throw new RangeError(`Xen's cap is a whole number of at least 0, got ${value}`);
  return value === 0 ? UNCAPPED : { kind: 'capped', percent: cpuPercent(value) };
}

/** The number that Xen takes: 0 for none. */
export const capToXen = (cap: Cap): number => (cap.kind === 'uncapped' ? 0 : cap.percent);

export const sameCap = (a: Cap, b: Cap): boolean => capToXen(a) === capToXen(b);

/** The percentage a cap allows a domain of `vcpus` virtual CPUs: at most 100 × vcpus. */
export const capPercent = (cap: Cap, vcpus: number): CpuPercent =>
  cpuPercent(cap.kind === 'uncapped' ? 100 * vcpus : Math.min(cap.percent, 100 * vcpus));

/** True when `a` lets the domain run less than `b`. */
export const isLower = (a: Cap, b: Cap): boolean => a.kind === 'capped' && (b.kind === 'uncapped' || a.percent < b.percent);

/** For people: `none` or `40 %`. */
export const showCap = (cap: Cap): string => (cap.kind === 'uncapped' ? 'none' : `${cap.percent} %`);
