import { because, type ControllerOption, PAGE_BYTES } from '../src/core/index.ts';
import { baseline, option, switchOver, wait } from './baseline.ts';

/*
 * nova: OpenStack's downtime steps and completion timeout.
 *
 * Source: nova, virt/libvirt/migration.py (downtime_steps, should_abort). The allowed downtime goes from a tenth of the target up to it in
 * ten equal steps; one step and the timeout take time in proportion to the guest's memory, counted as at least 2 GiB:
 *
 *   allowed(t) = target/10 + (target − target/10) × min(10, ⌊t / (75 s × GiB)⌋) / 10        abort at t > 800 s × GiB
 *
 * No throttle. It needs the pre-copy policy: with stock's five rounds only the gate is left of it.
 */

const STEP_SECONDS: ControllerOption = {
  name: 'stepSeconds',
  summary: 'seconds per GiB and step (live_migration_downtime_delay)',
  byDefault: 75,
  min: 1,
  max: 1e6,
  whole: false,
};
const TIMEOUT_SECONDS: ControllerOption = {
  name: 'timeoutSeconds',
  summary: 'seconds per GiB until it gives up (live_migration_completion_timeout)',
  byDefault: 800,
  min: 1,
  max: 1e6,
  whole: false,
};

const STEPS = 10;
const GIB_MIN = 2;

/** Allowed downtime after `steps` steps, as a share of the target. */
export const allowedShare = (steps: number): number => 1 / STEPS + ((1 - 1 / STEPS) * Math.min(STEPS, Math.max(0, steps))) / STEPS;

export const nova = baseline<null>({
  name: 'nova',
  summary: "OpenStack's steps: no throttle, the allowed downtime rises with time, abort at a timeout",
  options: [STEP_SECONDS, TIMEOUT_SECONDS],
  initial: () => null,
  want(own, view) {
    const { observation, goal, track } = view;
    const gib = Math.max(GIB_MIN, (goal.domain.populatedPages * PAGE_BYTES) / 2 ** 30);
    const elapsed = (track.atMs - track.startedAtMs) / 1000;
    const timeout = gib * option(goal, TIMEOUT_SECONDS);
    const numbers = { elapsedSeconds: Math.round(elapsed), timeoutSeconds: Math.round(timeout) };
    if (elapsed > timeout) return { own, end: 'abort', reason: because('timeout', `not done after ${numbers.timeoutSeconds} s`, numbers) };
    if (observation.type !== 'policy-query' || observation.when === 'before') return wait(own);
    const steps = Math.floor(elapsed / (gib * option(goal, STEP_SECONDS)));
    const allowed = goal.targetDowntimeMs * allowedShare(steps);
    const fits = switchOver(view, allowed);
    if (fits !== undefined) return { own, reason: fits, end: 'stop-and-copy' };
    const text = `${Math.round(allowed)} ms are allowed by now, more is needed`;
    return { own, reason: because('schedule', text, { ...numbers, allowedMs: Math.round(allowed) }) };
  },
});
