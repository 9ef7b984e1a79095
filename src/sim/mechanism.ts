import { WIRE_BYTES_PER_PAGE } from '../core/units.ts';
import type { Scenario } from './scenario.ts';

/**
 * How memory moves. Xen only has pre-copy; the others are modelled for comparison (Hines & Gopalan, VEE 2009): post-copy suspends at once
 * and pushes all pages after the resume, hybrid does `roundsFirst` pre-copy rounds before. Neither can be aborted after the resume.
 */
export type Mechanism = 'pre-copy' | 'post-copy' | 'hybrid';

/** Network faults as a share of the working set that is still missing, with adaptive pre-paging (Hines & Gopalan: within 21 %). */
const FAULT_SHARE = 0.21;

/**
 * Time the guest waits for pages after a post-copy resume. Missing pages are pushed in the background; a fault on one costs a round trip and
 * its own transfer, behind at most one page that is being pushed. Bounded by the length of the push.
 */
export function faultMs(scenario: Scenario, missingPages: number, pushMs: number): number {
  const writable = scenario.classes.reduce((sum, c) => sum + c.pages, 0);
  const pageMs = (WIRE_BYTES_PER_PAGE * 1000) / scenario.link.bytesPerSecond;
  const faults = FAULT_SHARE * Math.min(missingPages, writable);
  return Math.min(pushMs, faults * (scenario.link.roundTripMs + 2 * pageMs));
}
