import type { Capabilities } from './goal.ts';
import { type Ms, ms } from './units.ts';

/**
 * So long each vCPU runs at most where it is seen to run: the host suspends the guest once each has had 5 ms of CPU time, and looks every
 * 2 ms (xen/seen-to-run.ts); as much again for those that get the CPU later than the first.
 */
const SEEN_MS = 15;

/**
 * How long a guest is let run, its cap lifted, so that the stall before its suspension does not join the downtime. Where nobody can see whether
 * it runs that is a timeslice: credit1 lets a parked vCPU run at its next accounting only.
 */
export const runFirstOf = (seen: boolean, tsliceMs: Ms): Capabilities['runFirstMs'] => (seen ? ms(Math.min(SEEN_MS, tsliceMs)) : tsliceMs);
