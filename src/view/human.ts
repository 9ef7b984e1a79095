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

/** The same for a narrow column: `84 ms (≤ 110 ms)`; the upper bound is what the gate goes by. */
export function showUpper(estimate: Estimate | null | undefined): string {
  if (estimate === undefined || estimate === null) return UNKNOWN;
  const [value, high] = [showMs(estimate.value), showMs(estimate.high)];
  return value === high ? value : `${value} (≤ ${high})`;
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

/** `1500 pages/s`. */
export const showPageRate = (value: number | null | undefined): string => (known(value) ? `${showCount(value)} pages/s` : UNKNOWN);

/** Seconds as `1.2 s` and so on. */
export const showSeconds = (value: number | null | undefined): string => showMs(known(value) ? value * 1000 : undefined);

/** Xen's number of a cap: `none` or `40 %`. */
export const showXenCap = (value: number | null | undefined): string => (known(value) ? (value === 0 ? 'none' : `${value} %`) : UNKNOWN);
