/** Reason codes of core and loop, which end migrations. Those of controllers are learned as they come, in bounded number. */
export const REASONS: readonly string[] = [
  'abort-requested',
  'controller-failed',
  'fits',
  'fits-after-slice',
  'hands-off',
  'misses-abort',
  'misses-proceed',
  'no-answer',
  'no-prediction',
  'none',
  'start',
];

/** How many more become labels, the built-in controllers' and a user's own; the rest is `other`. */
export const LEARNED_REASONS = 96;
