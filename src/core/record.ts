import type { Cap } from './cap.ts';
import type { Decision } from './decision.ts';
import type { Estimate } from './estimate.ts';
import type { Goal } from './goal.ts';
import type { Observation } from './observation.ts';
import type { Ms } from './units.ts';

/** Version of the record schema; readers refuse a higher one and ignore unknown fields. */
export const RECORD_VERSION = 1;

/**
 * The one record schema, for `--json`, recording and replay: JSON lines, discriminator `type`. A migration's records share its `id`,
 * begin with `start` and end with `summary`.
 */
export type MigrationRecord =
  | StartRecord
  | { readonly type: 'observation'; readonly id: string; readonly observation: Observation }
  | { readonly type: 'decision'; readonly id: string; readonly atMs: Ms; readonly decision: Decision }
  | EffectRecord
  | NoteRecord
  | SummaryRecord;

export interface NoteRecord {
  readonly type: 'note';
  readonly id: string;
  readonly level: 'info' | 'warning' | 'error';
  readonly text: string;
  /** Records missing from the trace at this place: the recorder had no room for them. */
  readonly dropped?: number;
}

export interface StartRecord {
  readonly type: 'start';
  readonly v: typeof RECORD_VERSION;
  readonly id: string;
  /** Wall-clock time, ISO 8601; absent in the simulated host. */
  readonly time?: string;
  readonly host: 'xen' | 'simulated';
  readonly controller: string;
  /** Observe-only: decisions are recorded, none is carried out. */
  readonly observe: boolean;
  readonly goal: Goal;
  readonly destination?: string;
  readonly scenario?: string;
  readonly seed?: number;
}

/** What became of a decision: `superseded` when a newer cap made it needless, `skipped` when nothing had to be done or observe-only. */
export interface EffectRecord {
  readonly type: 'effect';
  readonly id: string;
  readonly atMs: Ms;
  readonly action: Decision['action'] | 'restore';
  readonly result: 'applied' | 'superseded' | 'skipped' | 'failed';
  readonly cap?: Cap;
  readonly latencyMs?: Ms;
  readonly error?: string;
}

/** `released`: xthrottle let go of it before its end, as a service that is restarted does; how it ended is not known. */
export type Outcome = 'met' | 'missed' | 'aborted' | 'failed' | 'released';

export interface SummaryRecord {
  readonly type: 'summary';
  readonly id: string;
  readonly domain: string;
  readonly outcome: Outcome;
  readonly reason: string;
  readonly controller: string;
  readonly targetDowntimeMs: number;
  /** The target instead of a downtime: pages sent after the suspend; absent where the target is a downtime. */
  readonly maxDirtyPages?: number;
  /** Predicted when the suspension was granted (or denied); null when it was never asked for. */
  readonly predictedDowntimeMs: number | null;
  readonly predictedDowntimeRangeMs: Estimate | null;
  readonly observedDowntimeMs: number | null;
  /** `handover`: suspend request → xl's "Domain started"; `relay`: → the helper's end, which is earlier than the guest's start; `simulated`. */
  readonly observedDowntimeSource: 'handover' | 'relay' | 'simulated' | null;
  /** Last stall and downtime together: what the guest may have felt at most; null without a suspension. */
  readonly guestGapBoundMs: number | null;
  /** Longest stall of the caps that were in force, by law. */
  readonly stallMaxMs: number;
  readonly rounds: number;
  readonly bytesSent: number;
  /** Pages to send after the suspension as predicted when it was granted; absent without a prediction. */
  readonly predictedLastPages?: number;
  /** Pages really sent after the suspension; null without one. */
  readonly lastDirtyPages: number | null;
  readonly totalSeconds: number;
  /** Lowest cap that was in force; null when it was never changed. */
  readonly capPercentMin: number | null;
  readonly throttledSeconds: number;
  /** Guest CPU-seconds withheld: estimated demand less what it got. */
  readonly lostWorkSeconds: number;
  /** Xen's numbers, 0 = none; capAfter is null where it cannot be read (a destination). */
  readonly capBefore: number;
  readonly capAfter: number | null;
  readonly capRestored: boolean;
  /** The guest was suspended before an answer of ours had reached the relay; absent otherwise. */
  readonly failOpen?: true;
  readonly seed?: number;
}

/** Where records go: terminal, JSON lines, recorder, metrics. `write` never throws and never blocks control. */
export interface RecordSink {
  write(record: MigrationRecord): void;
  close(): Promise<void>;
}
