import type { Estimate } from '../core/estimate.ts';
import { PAGE_BYTES } from '../core/units.ts';

/** Numbers for people. Every function answers `-` for what is not known and `never` for an infinite time. */
const UNKNOWN = '-';

const known = (value: number | null | undefined): value is number => value !== undefined && value !== null && !Number.isNaN(value);

/** `84 ms`, `1.25 s`, `42.0 s`, `3 min 05 s`, `2 h 04 min`. */
export function showMs(value: number | null | undefined): string {
  if (!known(value)) return UNKNOWN;
  if (!Number.isFinite(value)) return 'never';
  const rounded = Math.round(value);
  if (Math.abs(rounded) < 1000) return `${rounded} ms`;
  if (rounded < 9_995) return `${(rounded / 1000).toFixed(2)} s`;
  if (rounded < 99_950) return `${(rounded / 1000).toFixed(1)} s`;
  const seconds = Math.round(rounded / 1000);
  const two = (part: number): string => String(part).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} min`;
}

/** A value with its range: `84 ms (70 ms … 110 ms)`; the value alone when the range is narrower than what is shown. */
export function showRange(estimate: Estimate | null | undefined): string {
  if (estimate === undefined || estimate === null) return UNKNOWN;
  const [value, low, high] = [showMs(estimate.value), showMs(estimate.low), showMs(estimate.high)];
  return low === high ? value : `${value} (${low} … ${high})`;
}

/** The same for a narrow column, in one unit: `84 (70…110) ms`, `1.05 (0.98…1.10) s`, `1:05 (0:58…2:10) min`. */
export function showNarrow(estimate: Estimate | null | undefined): string {
  if (estimate === undefined || estimate === null || !Number.isFinite(estimate.value)) return showMs(estimate?.value);
  const { show, unit } = narrowUnit(Number.isFinite(estimate.high) ? Math.max(estimate.value, estimate.high) : estimate.value);
  const [value, low, high] = [show(estimate.value), show(estimate.low), show(estimate.high)];
  return low === high ? showMs(estimate.value) : `${value} (${low}…${high}) ${unit}`;
}

/** The unit that `showMs` gives the largest of them. */
function narrowUnit(largestMs: number): { readonly show: (value: number) => string; readonly unit: string } {
  const bounded = (show: (value: number) => string) => (value: number) => (Number.isFinite(value) ? show(value) : '∞');
  const parts = (part: number) => (value: number) => {
    const whole = Math.round(value / part);
    return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
  };
  if (Math.round(largestMs) < 1000) return { show: bounded((value) => String(Math.round(value))), unit: 'ms' };
  const digits = Math.round(largestMs) < 9_995 ? 2 : 1;
  if (Math.round(largestMs) < 99_950) return { show: bounded((value) => (value / 1000).toFixed(digits)), unit: 's' };
  return Math.round(largestMs / 1000) < 3600 ? { show: bounded(parts(1000)), unit: 'min' } : { show: bounded(parts(60_000)), unit: 'h' };
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** `812 B`, `16.8 MiB`, `1.25 GiB`. */
export function showBytes(value: number | null | undefined): string {
  if (!known(value)) return UNKNOWN;
  if (!Number.isFinite(value)) return '∞';
  let scaled = value;
  let unit = 0;
  while (Math.abs(scaled) >= 1023.5 && unit < UNITS.length - 1) {
    scaled /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || Math.abs(scaled) >= 99.95 ? 0 : Math.abs(scaled) >= 9.995 ? 1 : 2;
  return `${scaled.toFixed(digits)} ${UNITS[unit]}`;
}

export const showBytesRate = (value: number | null | undefined): string => (known(value) ? `${showBytes(value)}/s` : UNKNOWN);

/** Pages as memory: 4 KiB each. */
export const showPagesBytes = (pages: number | null | undefined): string => showBytes(known(pages) ? pages * PAGE_BYTES : undefined);

/** Whole numbers, without groups: what a person copies from here is a number elsewhere too. */
export function showCount(value: number | null | undefined): string {
  if (!known(value)) return UNKNOWN;
  if (!Number.isFinite(value)) return '∞';
  return String(Math.round(value));
}

/** `1 page`, `1500 pages`. */
export const plural = (count: number, one: string, many = `${one}s`): string => `${showCount(count)} ${count === 1 ? one : many}`;

/** `1500 pages/s`. */
export const showPageRate = (value: number | null | undefined): string => (known(value) ? `${showCount(value)} pages/s` : UNKNOWN);

/** Seconds as `1.2 s` and so on. */
export const showSeconds = (value: number | null | undefined): string => showMs(known(value) ? value * 1000 : undefined);

/** Xen's number of a cap: `none` or `40 %`. */
export const showXenCap = (value: number | null | undefined): string => (known(value) ? (value === 0 ? 'none' : `${value} %`) : UNKNOWN);
