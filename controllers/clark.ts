import { because, WIRE_BYTES_PER_PAGE } from '../src/core/index.ts';
import { baseline, wait } from './baseline.ts';

/*
 * clark: when the first live migration of Xen stopped.
 *
 * Source: Clark et al., "Live Migration of Virtual Machines", NSDI 2005, as in Xen 3.0.4 (xc_linux_save). After each round it stops and
 * copies when
 *
 *   the next round would send fewer than 50 pages, or 29 rounds were sent, or more than 3 × the memory was sent,
 *   or (at the highest rate) this round sent more than the one before
 *
 * Its rate adaptation (last dirty rate + 50 Mbit/s, at most 500) sits in the sender, which stock Xen no longer has: here the stream always
 * runs at its highest rate, so the fourth rule holds from the start. No throttle. Where the policy is not ours it is stock Xen with a gate.
 */

const DIRTY_PAGES_MIN = 50;
const ROUNDS_MAX = 29;
const MEMORY_FACTOR_MAX = 3;

export const clark = baseline<null>({
  name: 'clark',
  summary: 'the stop rules of Clark et al. (NSDI 2005, Xen 3.0.4); no throttle',
  initial: () => null,
  want(own, { track, observation, goal }) {
    if (observation.type !== 'policy-query') return wait(own);
    const stop = (code: string, text: string) => ({
      own,
      end: 'stop-and-copy' as const,
      reason: because(code, text, { round: observation.round }),
    });
    const sending = observation.dirtyPages;
    if (observation.when === 'before') {
      if (observation.round > 0 && sending !== undefined && sending < DIRTY_PAGES_MIN)
        return stop('few-pages', `${sending} pages, fewer than ${DIRTY_PAGES_MIN}`);
      return wait(own);
    }
    const [before, now] = track.rounds.slice(-2);
    if (observation.round + 1 >= ROUNDS_MAX) return stop('rounds', `${ROUNDS_MAX} rounds were sent`);
    const sent = track.rounds.length === 0 ? 0 : observation.bytesSent / WIRE_BYTES_PER_PAGE / goal.domain.populatedPages;
    if (sent > MEMORY_FACTOR_MAX) return stop('bytes', `${sent.toFixed(1)} × the memory was sent`);
    if (before !== undefined && now !== undefined && now.pagesToSend > before.pagesToSend)
      return stop('sent-grows', `round ${observation.round} sent ${now.pagesToSend} pages, the one before ${before.pagesToSend}`);
    return wait(own);
  },
});
