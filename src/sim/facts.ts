import { capFromXen } from '../core/cap.ts';
import { between } from '../core/estimate.ts';
import type { Capabilities, DomainFacts } from '../core/goal.ts';
import type { PairOverhead } from '../core/options.ts';
import { runFirstOf } from '../core/run-first.ts';
import { ms, pages } from '../core/units.ts';
import { bits, gauss, unit } from './random.ts';
import type { NamedScenario } from './scenario-files.ts';

/** Frames of the address space of a PVH guest with up to 3 GiB: round 0 counts them all (seen: 1044480 for 128 MiB). */
const PVH_FRAMES_SMALL = 1_044_480;
/** A larger guest's memory goes on above 4 GiB, behind a hole below it. */
const PVH_HOLE_FRAMES = 262_144;

export function p2mFramesOf(scenario: NamedScenario): number {
  const populated = scenario.domain.memoryMib * 256;
  return scenario.domain.p2mFrames ?? Math.max(PVH_FRAMES_SMALL, populated + PVH_HOLE_FRAMES);
}

export function domainOf(scenario: NamedScenario, seed: number, index: number): DomainFacts {
  const { domain } = scenario;
  const part = (n: number, digits: number): string =>
    (bits(seed, 'uuid', index * 8 + n) >>> 0).toString(16).padStart(8, '0').slice(0, digits);
  return {
    name: domain.name,
    domid: index + 1,
    uuid: `${part(0, 8)}-${part(1, 4)}-4${part(2, 3)}-a${part(3, 3)}-${part(4, 8)}${part(5, 4)}`,
    vcpus: domain.vcpus,
    activeVcpus: domain.activeVcpus ?? domain.vcpus,
    populatedPages: pages(domain.memoryMib * 256),
    capOriginal: capFromXen(domain.capOriginalPercent),
  };
}

export function capabilitiesOf({ host, domain }: NamedScenario): Capabilities {
  return {
    peek: host.peek,
    policy: host.roundLimit === undefined,
    ...(host.roundLimit === undefined ? {} : { roundsMax: host.roundLimit }),
    actuator: host.actuator,
    actuatorLatencyMs: ms(host.actuatorLatencyMs),
    liftLatencyMs: ms(host.liftLatencyMs),
    scheduler: host.scheduler,
    tsliceMs: ms(host.tsliceMs),
    runFirstMs: runFirstOf(host.peek, { activeVcpus: domain.activeVcpus ?? domain.vcpus }, ms(host.tsliceMs)),
  };
}

/** A fixed time as this migration draws it: between half and twice its mean. */
export function fixedMs(of: { readonly timeMs: number; readonly sd: number }, seed: number, stream: 'suspend' | 'resume'): number {
  return of.timeMs * Math.min(2, Math.max(0.5, 1 + of.sd * gauss(seed, stream, 0)));
}

export const suspendPagesOf = ({ suspendPages }: NamedScenario, seed: number): number =>
  Math.round(suspendPages.low + (suspendPages.high - suspendPages.low) * unit(seed, 'suspend-pages', 0));

/** What earlier migrations between these hosts would have taught: the fixed costs with their 5 … 95 % range. */
export function learnedPair({ suspend, resume }: NamedScenario): PairOverhead {
  const range = ({ timeMs, sd }: { timeMs: number; sd: number }) =>
    between(ms(timeMs * Math.max(0.5, 1 - 1.645 * sd)), ms(timeMs), ms(timeMs * Math.min(2, 1 + 1.645 * sd)));
  return { suspendLatencyMs: range(suspend), overheadMs: range(resume) };
}
