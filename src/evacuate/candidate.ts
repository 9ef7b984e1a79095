import type { BytesPerSecond, Ms, Pages } from '../core/units.ts';

/** What is known of how a guest dirties memory: from a probe, or from an earlier try. */
export interface DirtyKnown {
  /** Unique pages in the first second of a free run. */
  readonly pagesPerSecond: number;
  /** The writable working set: where that levels off. */
  readonly workingSetPages: number;
}

/** A guest that is to leave this host. JSON-serialisable. */
export interface Candidate {
  readonly uuid: string;
  readonly name: string;
  readonly domid: number;
  /** What round 0 sends. */
  readonly memoryPages: Pages;
  readonly dirty?: DirtyKnown;
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
  /** Lowest share of its speed that the cap may leave it, 0 … 1. */
  readonly floorSpeed: number;
  /** Everything of a switch-over but sending the last pages. */
  readonly fixedMs: Ms;
  /** Before round 0 and after the hand-over: xl's own time. */
  readonly aroundMs: Ms;
  readonly roundsMax: number;
}
