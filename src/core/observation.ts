import type { Cap } from './cap.ts';
import type { Bytes, Ms, Pages } from './units.ts';

/**
 * What a host reports of one migration, in the order it happened. `atMs` is the host's monotonic clock.
 * `bytesSent` is always the total of page data and headers that the save helper wrote since the migration began
 * (never derived from frame counts: round 0 counts the p2m, not the guest's memory).
 */
export type Observation =
  | RoundStart
  | Progress
  | Sample
  | PolicyQuery
  | SuspendRequest
  | CapChanged
  | { readonly type: 'suspended'; readonly atMs: Ms; readonly bytesSent: Bytes }
  | { readonly type: 'stop-and-copy'; readonly atMs: Ms; readonly pagesToSend: Pages; readonly bytesSent: Bytes }
  | { readonly type: 'complete'; readonly atMs: Ms; readonly bytesSent: Bytes }
  | { readonly type: 'tick'; readonly atMs: Ms; readonly bytesSent?: Bytes };

/** A round begins; `pagesToSend` was dirtied during the round before (round 0: every frame of the p2m, absent ones included). */
export interface RoundStart {
  readonly type: 'round-start';
  readonly atMs: Ms;
  readonly round: number;
  readonly pagesToSend: Pages;
  readonly bytesSent: Bytes;
}

/** Some frames of the running round were sent; the helper says so every 1024 pages and at the round's end. */
export interface Progress {
  readonly type: 'progress';
  readonly atMs: Ms;
  readonly round: number;
  readonly pagesSent: Pages;
  readonly pagesToSend: Pages;
  readonly bytesSent: Bytes;
}

/** A look from outside inside a round: pages dirtied since the round began (baseline subtracted) and the guest's CPU time. */
export interface Sample {
  readonly type: 'sample';
  readonly atMs: Ms;
  readonly round: number;
  readonly dirtyPages?: Pages;
  /** CPU time the domain has used since its start, over all vCPUs. */
  readonly cpuTimeMs?: Ms;
  /** How long any vCPU has been waiting for the CPU at most (parked under its cap, above all); see standing.ts. */
  readonly standingMs?: Ms;
  readonly bytesSent?: Bytes;
}

/**
 * libxenguest asks its pre-copy policy: `before` sending round `round` (dirtyPages known: what it is about to send), and `after` it
 * (unknown to libxenguest: a peek where there is one). An answer `stop-and-copy` at `before` still sends this round live; at `after` it suspends at once.
 */
export interface PolicyQuery {
  readonly type: 'policy-query';
  readonly atMs: Ms;
  readonly when: 'before' | 'after';
  readonly round: number;
  readonly dirtyPages?: Pages;
  readonly totalWritten: Pages;
  /** As in a sample, where there is a peek. */
  readonly standingMs?: Ms;
  readonly bytesSent: Bytes;
}

/** The helper wants the guest suspended. `dirtyPages` is what a peek saw at that moment, where there is a peek. */
export interface SuspendRequest {
  readonly type: 'suspend-request';
  readonly atMs: Ms;
  readonly round: number;
  readonly dirtyPages?: Pages;
  readonly cpuTimeMs?: Ms;
  /** As in a sample. */
  readonly standingMs?: Ms;
  readonly bytesSent: Bytes;
}

/** The domain's cap is now `cap`. `by` says whose doing it was; an admin's change ends our steering. */
export interface CapChanged {
  readonly type: 'cap-changed';
  readonly atMs: Ms;
  readonly cap: Cap;
  readonly by: 'us' | 'other';
  readonly latencyMs?: Ms;
}
