import type { DirtyCurve } from '../core/dirty-curve.ts';
import { findingsOf, type ProbeLook } from '../core/probe.ts';
import type { BytesPerSecond, Ms, Pages } from '../core/units.ts';

/** What a look at a guest told of how it dirties memory. JSON-serialisable. */
export interface DirtyKnown {
  /** Unique pages in the first second of a free run. */
  readonly pagesPerSecond: number;
  readonly curve: DirtyCurve;
}

/** How long each guest is looked at unless something else is asked for, and how many at a time. */
export const LOOK_MS_DEFAULT = 2000;
export const LOOKS_AT_ONCE = 8;

/** What a look told; undefined where it saw too little. */
export function knownFrom(looks: readonly ProbeLook[]): (DirtyKnown & { readonly demandPercent?: number }) | undefined {
  const findings = findingsOf(looks);
  if (findings === undefined) return undefined;
  const { dirtyRate, curve, demandPercent } = findings;
  return { pagesPerSecond: Math.round(dirtyRate), curve, ...(demandPercent === undefined ? {} : { demandPercent }) };
}

/** Lowest share of its speed that a floor leaves a guest of that demand, both in percent of one pCPU. */
export const floorSpeedOf = (floorPercent: number, demandPercent: number | undefined): { readonly floorSpeed?: number } =>
  demandPercent === undefined || !(demandPercent > 0) ? {} : { floorSpeed: Math.min(1, floorPercent / demandPercent) };

/** A guest that is to leave this host. JSON-serialisable. */
export interface Candidate {
  readonly uuid: string;
  readonly name: string;
  readonly domid: number;
  /** What round 0 sends. */
  readonly memoryPages: Pages;
  readonly dirty?: DirtyKnown;
  /** Lowest share of its speed that the cap may leave it, 0 … 1: its floor over the CPU it uses. */
  readonly floorSpeed?: number;
  /** Why it cannot leave at all; then it is only listed. */
  readonly stays?: string;
}

/** What a migration of it is expected to take. */
export interface Prediction {
  readonly timeMs: Ms;
  /** Undefined where nothing is known of its writes: only the size counts then. */
  readonly downtimeMs?: Ms;
  readonly rounds: number;
  /** Sent in all, pages. */
  readonly pages: number;
}

export interface PredictOptions {
  /** What its stream gets. */
  readonly rate: BytesPerSecond;
  readonly targetDowntimeMs: Ms;
  /** The same for a guest whose own is not known. */
  readonly floorSpeed: number;
  /** Everything of a switch-over but sending the last pages. */
  readonly fixedMs: Ms;
  /** Before round 0 and after the hand-over: xl's own time. */
  readonly aroundMs: Ms;
  readonly roundsMax: number;
}
