import { capFromXen } from '../core/cap.ts';
import type { Capabilities, DomainFacts } from '../core/goal.ts';
import type { ProbeLook } from '../core/probe.ts';
import { type BytesPerSecond, bytesPerSecond, type Ms, ms, pages } from '../core/units.ts';
import { capabilitiesOf, domainOf } from './facts.ts';
import { Guest } from './guest.ts';
import { Realisation } from './realisation.ts';
import type { NamedScenario } from './scenario-files.ts';

export interface SimulatedProbe {
  readonly looks: readonly ProbeLook[];
  readonly domain: DomainFacts;
  readonly capabilities: Capabilities;
  /** What the scenario's link carries. */
  readonly linkRate: BytesPerSecond;
}

/** As on a real host: close together at first, then every quarter of a second. */
const LOOK_MS_MIN = 20;
const LOOK_MS_MAX = 250;
const LOOK_GROWTH = 0.1;

/** The simulated guest, watched for `durationMs` while nothing migrates. */
export function simulateProbe(scenario: NamedScenario, seed: number, durationMs: Ms): SimulatedProbe {
  const guest = new Guest(scenario, new Realisation(scenario, seed), capFromXen(scenario.domain.capOriginalPercent));
  const looks: ProbeLook[] = [];
  let atMs = 0;
  while (atMs < durationMs) {
    atMs = Math.min(durationMs, atMs + Math.min(LOOK_MS_MAX, Math.max(LOOK_MS_MIN, LOOK_GROWTH * atMs)));
    guest.advance(atMs);
    looks.push({ timeMs: ms(atMs), dirtyPages: pages(guest.dirtyPages()), cpuMs: ms(guest.totals.cpuMs) });
  }
  return {
    looks,
    domain: domainOf(scenario, seed, 0),
    capabilities: capabilitiesOf(scenario),
    linkRate: bytesPerSecond(scenario.link.bytesPerSecond),
  };
}
