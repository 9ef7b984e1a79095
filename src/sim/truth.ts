/** What a simulated migration really did to its guest. */
export interface Truth {
  readonly result: 'migrated' | 'stayed' | 'unknown';
  /** Suspend passed on → running at the destination. */
  readonly downtimeMs: number | null;
  /** The guest's largest contiguous standstill: stalls, downtime, and a stall that joins it. */
  readonly guestGapMs: number;
  /** The standstill around the switch-over alone. */
  readonly switchOverGapMs: number | null;
  readonly longestStallMs: number;
  /** CPU-seconds of the guest's demand that throttling (or post-copy faults) withheld; the downtime is not in it. */
  readonly lostWorkSeconds: number;
  /** The same in seconds of the guest's own time: ∫ (1 − speed) dt. */
  readonly lostGuestSeconds: number;
  /** Post-copy only: time spent waiting for pages. */
  readonly degradedSeconds: number;
  readonly throttledSeconds: number;
  readonly capPercentMin: number | null;
  readonly bytesSent: number;
  readonly rounds: number;
  readonly pagesAfterSuspend: number | null;
  readonly totalSeconds: number;
}
