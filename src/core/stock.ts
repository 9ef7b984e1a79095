import { because, type Decision } from './decision.ts';
import type { Observation } from './observation.ts';

/** SPP_MAX_ITERATIONS of xg_sr_save.c: live rounds. */
const ROUNDS_MAX = 5;
/** SPP_TARGET_DIRTY_COUNT: fewer dirty pages end the rounds. */
const DIRTY_PAGES_TARGET = 50;

/** What unmodified Xen would do at this observation: nothing, but for its fixed pre-copy policy and for granting every suspend request. */
export function stockDecision(observation: Observation): Decision {
  if (observation.type === 'suspend-request') return { action: 'grant', reason: because('stock', 'granted, as stock Xen does') };
  if (observation.type === 'policy-query') {
    const rounds = observation.when === 'after' ? observation.round + 1 : observation.round;
    const dirty = observation.dirtyPages;
    const few = observation.when === 'before' && dirty !== undefined && dirty < DIRTY_PAGES_TARGET;
    if (few || rounds >= ROUNDS_MAX) {
      const text = few ? `${dirty} dirty pages, fewer than ${DIRTY_PAGES_TARGET}` : `${rounds} live rounds were sent`;
      return { action: 'stop-and-copy', reason: because('stock', text, { rounds, ...(dirty === undefined ? {} : { dirtyPages: dirty }) }) };
    }
  }
  return { action: 'hold', reason: because('stock', 'stock Xen does not throttle') };
}
