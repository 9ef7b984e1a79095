import type { SchedulerName } from '../core/goal.ts';
import { stallOf } from '../core/stall.ts';
import { ms } from '../core/units.ts';
import { unit } from './random.ts';

/**
 * How a capped guest runs: on and off. Its vCPUs run until they have overdrawn, then are parked until the cap has paid for it. A wave is
 * one lead-in (what was left of the state before) and a cycle of a few drawn periods that repeats, so that any time span has a closed form.
 */
export interface Wave {
  readonly startMs: number;
  readonly leadMs: number;
  readonly leadRuns: boolean;
  /** Alternating spans after the lead-in, the first in the other state than the lead-in. */
  readonly spansMs: readonly number[];
  readonly cycleMs: number;
  readonly cycleRunMs: number;
  /** Share of its demand that the guest gets. */
  readonly speed: number;
  readonly capPerVcpu: number;
}

export interface WaveInput {
  readonly capPercent: number;
  readonly demandPercent: number;
  readonly activeVcpus: number;
  readonly scheduler: SchedulerName;
  readonly tsliceMs: number;
}

/** The wave that is replaced, and how long the guest has been standing in it. */
export interface WaveBefore {
  readonly wave: Wave;
  readonly stoodMs: number;
}

const PERIODS = 8;
/** Parked time is drawn from this share of the way between the least and the law's bound, up to the bound. */
const DRAW_FROM = 0.3;

/** Share of its demand that a domain gets under a cap; a cap above the demand does nothing. */
const speedOf = (capPercent: number, demandPercent: number): number => Math.min(1, capPercent / demandPercent);

/**
 * The wave of a cap that bites. credit1: a vCPU of demand q (percent) under c per active vCPU is parked for at least
 * tslice × (100/c − 100/q), at most `stallOf`; what it runs in between follows from the share c/q. `before` is the wave it replaces: the
 * guest keeps its state, and a parked one owes the same credit at the new cap.
 */
export function startWave(input: WaveInput, atMs: number, seed: number, bucket: number, before?: WaveBefore): Wave {
  const speed = speedOf(input.capPercent, input.demandPercent);
  const capPerVcpu = input.capPercent / input.activeVcpus;
  const bound = stallOf(input.capPercent, input.activeVcpus, input.scheduler, ms(input.tsliceMs));
  const least =
    input.scheduler === 'credit2' ? 0 : Math.max(0, input.tsliceMs * (100 / capPerVcpu - (100 * input.activeVcpus) / input.demandPercent));
  const from = Math.min(bound, least + DRAW_FROM * Math.max(0, bound - least));
  const offs = Array.from({ length: PERIODS }, (_, j) => from + (bound - from) * unit(seed, 'parking', bucket * 16 + j));
  const on = (off: number): number => (off * speed) / (1 - speed);
  const state = before === undefined ? undefined : stateAt(before.wave, atMs);
  const leadRuns = state?.runs ?? unit(seed, 'parking', bucket * 16 + 14) < speed;
  const firstOff = offs[0] as number;
  const left = state?.leftMs ?? (leadRuns ? on(firstOff) : firstOff) * unit(seed, 'parking', bucket * 16 + 15);
  const scaled = state === undefined || state.runs || before === undefined ? left : (left * before.wave.capPerVcpu) / capPerVcpu;
  const leadMs = Math.min(scaled, leadRuns ? on(firstOff) : Math.max(0, bound - (before?.stoodMs ?? 0)));
  const spansMs = offs.flatMap((off) => (leadRuns ? [off, on(off)] : [on(off), off]));
  const offMs = offs.reduce((sum, off) => sum + off, 0);
  return { startMs: atMs, leadMs, leadRuns, spansMs, cycleMs: offMs + on(offMs), cycleRunMs: on(offMs), speed, capPerVcpu };
}

/** Time the guest ran from the wave's start until `atMs`. */
export function ranMs(wave: Wave, atMs: number): number {
  const elapsed = Math.max(0, atMs - wave.startMs);
  if (elapsed <= wave.leadMs) return wave.leadRuns ? elapsed : 0;
  const rest = elapsed - wave.leadMs;
  const cycles = Math.floor(rest / wave.cycleMs);
  let ran = (wave.leadRuns ? wave.leadMs : 0) + cycles * wave.cycleRunMs;
  let left = rest - cycles * wave.cycleMs;
  let runs = !wave.leadRuns;
  for (const span of wave.spansMs) {
    if (runs) ran += Math.min(span, left);
    left -= span;
    if (left <= 0) break;
    runs = !runs;
  }
  return ran;
}

/** Whether the guest runs at `atMs`, since when it is in that state (as far as this wave knows), and how long it stays so. */
export function stateAt(wave: Wave, atMs: number): { readonly runs: boolean; readonly sinceMs: number; readonly leftMs: number } {
  const elapsed = Math.max(0, atMs - wave.startMs);
  if (elapsed < wave.leadMs) return { runs: wave.leadRuns, sinceMs: wave.startMs, leftMs: wave.leadMs - elapsed };
  let rest = elapsed - wave.leadMs;
  rest -= Math.floor(rest / wave.cycleMs) * wave.cycleMs;
  let runs = !wave.leadRuns;
  for (const span of wave.spansMs) {
    if (rest < span) return { runs, sinceMs: atMs - rest, leftMs: span - rest };
    rest -= span;
    runs = !runs;
  }
  return { runs, sinceMs: atMs, leftMs: 0 };
}

/** The longest time the guest stood between the wave's start and `atMs`; `carriedMs`: it already stood so long at the start. */
export function longestStallMs(wave: Wave, atMs: number, carriedMs: number): number {
  const elapsed = atMs - wave.startMs;
  let longest = wave.leadRuns ? carriedMs : carriedMs + Math.min(wave.leadMs, elapsed);
  let at = wave.leadMs;
  let runs = !wave.leadRuns;
  for (let i = 0; i < 2 * wave.spansMs.length && at < elapsed; i++) {
    const span = wave.spansMs[i % wave.spansMs.length] as number;
    if (!runs) longest = Math.max(longest, Math.min(span, elapsed - at));
    at += span;
    runs = !runs;
  }
  return longest;
}
