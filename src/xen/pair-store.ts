import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { between } from '../core/estimate.ts';
import { DEFAULT_PAIR, type PairOverhead } from '../core/options.ts';
import { type BytesPerSecond, bytesPerSecond, type Ms, ms } from '../core/units.ts';
import { prepareStateDirectory, replaceFile, stateDirectory } from './journal.ts';

/** What one migration showed of its pair of hosts. */
export interface PairSample {
  /** Observed downtime less suspend latency and the predicted time to send the last pages. */
  readonly overheadMs: Ms;
  /** Suspend passed on → the guest stands. */
  readonly suspendLatencyMs?: Ms;
  /** What its stream got, in the last rounds. */
  readonly bytesPerSecond?: BytesPerSecond;
}

/** Samples kept for a destination: old hosts and links are forgotten. */
const SAMPLES_KEPT = 16;
/** With fewer samples than this the spread is widened: it cannot be known yet. */
const SAMPLES_ENOUGH = 5;
const FILE = 'pairs.json';

interface Stored {
  readonly overheadMs: readonly number[];
  readonly suspendLatencyMs: readonly number[];
  /** Absent in what an earlier version wrote. */
  readonly bytesPerSecond?: readonly number[];
}

/**
 * The estimate from samples: their median, between their extremes; widened by 30 % of the median (at least 10 ms) until five samples are
 * there. A single outlier moves neither by much. `fallback` without any.
 */
export function estimatePair(samples: Stored, fallback: PairOverhead = DEFAULT_PAIR): PairOverhead {
  const estimate = (values: readonly number[], otherwise: PairOverhead['overheadMs']) => {
    if (values.length === 0) return otherwise;
    const sorted = [...values].sort((a, b) => a - b);
    const middle = median(sorted);
    const margin = values.length < SAMPLES_ENOUGH ? Math.max(10, 0.3 * middle) : 0;
    // From five samples on one outlier at either end is left out.
    const trim = values.length >= SAMPLES_ENOUGH ? 1 : 0;
    const [low, high] = [sorted[trim] as number, sorted[sorted.length - 1 - trim] as number];
    return between(ms(Math.max(0, low - margin)), ms(middle), ms(high + margin));
  };
  return {
    overheadMs: estimate(samples.overheadMs, fallback.overheadMs),
    suspendLatencyMs: estimate(samples.suspendLatencyMs, fallback.suspendLatencyMs),
  };
}

function median(sorted: readonly number[]): number {
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? (sorted[half] as number) : ((sorted[half - 1] as number) + (sorted[half] as number)) / 2;
}

/** What was learned of switching over to `destination`; the documented default (`DEFAULT_PAIR`) before that. Never throws. */
export async function loadPair(destination: string, directory: string = stateDirectory()): Promise<PairOverhead> {
  return estimatePair((await readStore(directory)).get(destination) ?? { overheadMs: [], suspendLatencyMs: [] });
}

/** The rate that migrations to `destination` got, their median; undefined before the first. Never throws. */
export async function loadRate(destination: string, directory: string = stateDirectory()): Promise<BytesPerSecond | undefined> {
  const rates = (await readStore(directory)).get(destination)?.bytesPerSecond ?? [];
  return rates.length === 0 ? undefined : bytesPerSecond(median([...rates].sort((a, b) => a - b)));
}

/** Adds a sample. Throws when the state directory cannot be written: the caller says so and goes on. */
export async function learnPair(destination: string, sample: PairSample, directory: string = stateDirectory()): Promise<void> {
  if (!Number.isFinite(sample.overheadMs)) return;
  const store = await readStore(directory);
  const before = store.get(destination) ?? { overheadMs: [], suspendLatencyMs: [] };
  const keep = (values: readonly number[], value: number | undefined) =>
    value === undefined || !Number.isFinite(value) ? values : [...values, Math.max(0, value)].slice(-SAMPLES_KEPT);
  const next: Stored = {
    overheadMs: keep(before.overheadMs, sample.overheadMs),
    suspendLatencyMs: keep(before.suspendLatencyMs, sample.suspendLatencyMs),
    bytesPerSecond: keep(before.bytesPerSecond ?? [], sample.bytesPerSecond),
  };
  await prepareStateDirectory(directory);
  await replaceFile(directory, FILE, JSON.stringify({ v: 1, pairs: [...store.set(destination, next)] }));
}

/** A file that is missing, torn or of another version holds nothing: it is learned anew. */
async function readStore(directory: string): Promise<Map<string, Stored>> {
  try {
    const value: unknown = JSON.parse(await readFile(join(directory, FILE), 'utf8'));
    const { v, pairs } = value as { readonly v?: unknown; readonly pairs?: unknown };
    if (v !== 1 || !Array.isArray(pairs)) return new Map();
    return new Map(
      pairs.filter((pair): pair is [string, Stored] => Array.isArray(pair) && typeof pair[0] === 'string' && isStored(pair[1])),
    );
  } catch {
    return new Map();
  }
}

function isStored(value: unknown): value is Stored {
  if (typeof value !== 'object' || value === null) return false;
  const { overheadMs, suspendLatencyMs, bytesPerSecond = [] } = value as Readonly<Record<string, unknown>>;
  const numbers = (list: unknown) => Array.isArray(list) && list.every((n) => typeof n === 'number' && Number.isFinite(n) && n >= 0);
  return numbers(overheadMs) && numbers(suspendLatencyMs) && numbers(bytesPerSecond);
}
