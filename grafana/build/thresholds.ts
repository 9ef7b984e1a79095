/** The one place for every threshold and window of dashboards and alerts. Durations in seconds. */
export const THRESHOLDS = {
  /** Share of the target from which a predicted downtime is shown as close to it. */
  nearTargetRatio: 0.9,
  /** A guest that is held back for so long at a stretch is worth a look. */
  throttledForSeconds: 600,
  /** At the floor of the cap and above the target: a prediction that fell by less than this share from one window to the next is stuck. */
  noProgressRatio: 0.05,
  noProgressWindowSeconds: 120,
  noProgressForSeconds: 60,
  /** A cap that was not back when xthrottle was last heard of stays an alert for so long. */
  capMemorySeconds: 3600,
  /** A missed target is reported for so long after the migration's end. */
  missedWindowSeconds: 900,
  /** So is a suspension that nobody had leave for. */
  failOpenWindowSeconds: 900,
  relayWindowSeconds: 600,
  xlWindowSeconds: 600,
  xlFailedRatio: 0.1,
  downForSeconds: 300,
  /** Guest speed below which a panel turns to yellow and to red. */
  speedLowRatio: 0.5,
  speedVeryLowRatio: 0.2,
  /** Prediction error above which a panel turns to yellow and to red. */
  errorRatio: 0.2,
  errorBadRatio: 0.5,
  /** Share of migrations that met their target, below which a panel turns to yellow and to red. */
  metLowRatio: 0.95,
  metVeryLowRatio: 0.8,
  /** A longer window for quantiles over few events. */
  quantileWindowSeconds: 86_400,
} as const;

/** Prometheus' notation of a duration, as short as it goes: `10m`, `90s`, `250ms`. */
export function duration(seconds: number): string {
  const units: readonly [string, number][] = [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ];
  for (const [unit, size] of units) if (seconds >= size && seconds % size === 0) return `${seconds / size}${unit}`;
  return `${Math.max(1, Math.round(seconds * 1000))}ms`;
}
