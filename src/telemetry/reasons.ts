/**
 * The reason codes of our own decisions: core, loop and the built-in controllers. A test reads them out of the sources, so that none is
 * forgotten here.
 */
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
