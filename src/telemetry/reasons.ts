/** Reason codes of core and loop, and those of our controllers that end migrations. Others are learned as they come, in bounded number. */
export const REASONS: readonly string[] = [
  'abort-requested',
  'controller-failed',
  'deadline',
  'fits',
  'fits-after-slice',
  'hands-off',
  'infeasible',
  'relaxed',
  'misses-abort',
  'misses-proceed',
  'no-answer',
  'no-prediction',
  'none',
  'start',
  'stock',
];

/** How many more become labels, the built-in controllers' and a user's own; the rest is `other`. */
export const LEARNED_REASONS = 96;
