import type { Capabilities, DomainFacts } from './goal.ts';
import { type Ms, ms } from './units.ts';

/** A single vCPU that is seen to run is suspended once it has had 5 ms of CPU time, by looks every 2 ms (xen/seen-to-run.ts); with as much to spare. */
const SEEN_MS = 15;

/**
 * How long a guest is let run, its cap lifted, so that the stall before its suspension does not join the downtime. credit1 lets a parked vCPU
 * run at its next accounting only (csched_acct, once a timeslice), each by itself: while one waits for it the others run. So it is a timeslice,
 * unless there is only one vCPU, and that is seen.
 */
export const runFirstOf = (seen: boolean, { activeVcpus }: Pick<DomainFacts, 'activeVcpus'>, tsliceMs: Ms): Capabilities['runFirstMs'] =>
  seen && activeVcpus <= 1 ? ms(SEEN_MS) : tsliceMs;
