import { capped } from '../../src/core/cap.ts';
import type { Controller } from '../../src/core/controller.ts';
import type { Decision } from '../../src/core/decision.ts';
import { ms } from '../../src/core/units.ts';
import { Rng } from './rng.ts';

const reason = { code: 'wild', text: 'whatever', numbers: {} };
const ANSWERS: readonly ((rng: Rng) => unknown)[] = [
  (rng) => ({ action: 'set-cap', cap: capped(rng.pick([1, 2, 50, 5000])), reason }),
  () => ({ action: 'set-cap', cap: { kind: 'capped', percent: 0 }, reason }),
  () => ({ action: 'set-cap', cap: { kind: 'capped', percent: Number.POSITIVE_INFINITY }, reason }),
  () => ({ action: 'set-cap', cap: { kind: 'capped', percent: -7.5 }, reason }),
  (rng) => ({ action: rng.pick(['uncap', 'hold', 'stop-and-copy', 'grant', 'deny']) }),
  () => ({ action: 'grant', runFirstMs: Number.NaN, reason: null }),
  () => ({ action: 'grant', runFirstMs: ms(1e12), reason }),
  () => ({ action: 'hold', reason }),
];
/** One answer in so many ends its steering: none at all, no action, or an exception. */
const FATAL = 0.002;

/** A user's own controller at its worst: any answer to anything, by a generator that its state carries. */
export const wild: Controller<number> = {
  name: 'wild',
  summary: 'answers anything',
  initial: () => 1,
  decide(state): readonly [number, Decision] {
    const rng = new Rng(state);
    if (rng.chance(FATAL)) throw new Error('a bug of the user');
    if (rng.chance(FATAL)) return [state + 1, undefined as unknown as Decision];
    if (rng.chance(FATAL)) return [state + 1, { action: 'reboot', reason } as unknown as Decision];
    return [state + 1, rng.pick(ANSWERS)(rng) as Decision];
  },
};
