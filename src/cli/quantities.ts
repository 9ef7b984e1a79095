import { XthrottleError } from '../core/errors.ts';
import { type BytesPerSecond, bytesPerSecond, type Ms, ms } from '../core/units.ts';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/**
 * A duration with its unit: `200ms`, `2s`, `1.5s`, `10m`, `1h`. Throws XthrottleError('usage') for a bare number, an unknown unit, a value
 * that is not above zero, or one beyond a day.
 */
export function parseDuration(option: string, text: string): Ms {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h)$/.exec(text.trim());
  const bad = (got: string): XthrottleError =>
    new XthrottleError('usage', `${option} expects a duration with a unit, got ${got}`, {
      hint: `say for example ${option} 200ms, 2s or 10m`,
    });
  if (match === null) throw bad(/^\d+(\.\d+)?$/.test(text.trim()) ? `the bare number ${text.trim()}` : JSON.stringify(text));
  const value = Number(match[1]) * (UNIT_MS[match[2] as string] as number);
  if (!(value > 0)) throw bad(`${text.trim()}, which is not above zero`);
  if (value > 86_400_000) throw bad(`${text.trim()}, which is more than a day`);
  return ms(value);
}

/** A whole number within bounds. Throws XthrottleError('usage') otherwise. */
export function parseWhole(option: string, text: string, least: number, most: number): number {
  const value = /^\d+$/.test(text.trim()) ? Number(text.trim()) : Number.NaN;
  if (!(value >= least && value <= most)) {
    throw new XthrottleError('usage', `${option} expects a whole number from ${least} to ${most}, got ${JSON.stringify(text)}`);
  }
  return value;
}

/** `name=number` pairs of --controller-option. Throws XthrottleError('usage') for anything else. */
export function parsePairs(option: string, texts: readonly string[]): Readonly<Record<string, number>> {
  return Object.fromEntries(
    texts.map((text) => {
      const match = /^([A-Za-z][\w-]*)=(-?\d+(?:\.\d+)?)$/.exec(text);
      if (match === null) throw new XthrottleError('usage', `${option} expects name=number, got ${JSON.stringify(text)}`);
      return [match[1] as string, Number(match[2])];
    }),
  );
}

const BYTES_PER_SECOND: Readonly<Record<string, number>> = {
  'kbit/s': 1e3 / 8,
  'mbit/s': 1e6 / 8,
  'gbit/s': 1e9 / 8,
  'kb/s': 1e3,
  'mb/s': 1e6,
  'gb/s': 1e9,
  'kib/s': 1024,
  'mib/s': 1024 ** 2,
  'gib/s': 1024 ** 3,
};

/** A transfer rate with its unit: `1Gbit/s`, `800Mbit/s`, `110MB/s`, `90MiB/s`. Throws XthrottleError('usage') for anything else. */
export function parseBandwidth(option: string, text: string): BytesPerSecond {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*([a-z]+\/s)$/i.exec(text.trim()) ?? [];
  const factor = BYTES_PER_SECOND[unit.toLowerCase()];
  const value = factor === undefined ? Number.NaN : Number(number) * factor;
  if (value > 0 && Number.isFinite(value)) return bytesPerSecond(value);
  throw new XthrottleError('usage', `${option} expects a rate with a unit, got ${JSON.stringify(text)}`, {
    hint: `say for example ${option} 1Gbit/s, 800Mbit/s or 110MB/s`,
  });
}
