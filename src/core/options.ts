import { capPercent } from './cap.ts';
import { XthrottleError } from './errors.ts';
import { between, type Estimate } from './estimate.ts';
import type { Capabilities, DomainFacts, Goal, OnMiss, Preference, Profile } from './goal.ts';
import { floorFor } from './stall.ts';
import { cpuPercent, type Ms, ms, type Pages } from './units.ts';

/** What a person asks for, before the domain and the host are known. */
export interface GoalOptions {
  readonly targetDowntimeMs: Ms;
  /** Longest stall that throttling may cause; default: the target downtime. */
  readonly maxStallMs?: Ms;
  /** Overrides the floor that follows from the longest stall; percent of one pCPU for the whole domain, ≥ 1. */
  readonly minCapPercent?: number;
  readonly onMiss?: OnMiss;
  readonly profile?: Profile;
  readonly prefer?: Preference;
  readonly deadlineMs?: Ms;
  readonly maxDirtyPages?: Pages;
  readonly maxRounds?: number;
  readonly options?: Readonly<Record<string, number>>;
}

/** What is known of a pair of hosts: the fixed costs of a switch-over between them. */
export interface PairOverhead {
  readonly overheadMs: Estimate<Ms>;
  readonly suspendLatencyMs: Estimate<Ms>;
}

/**
 * Assumed until a migration between two hosts was observed. Xen's fixed cost of a switch-over is tens of milliseconds on hardware (Clark et
 * al. NSDI'05: 60 ms in all for a small guest); the first migration replaces it by what was measured.
 */
export const DEFAULT_PAIR: PairOverhead = {
  overheadMs: between(ms(20), ms(50), ms(90)),
  suspendLatencyMs: between(ms(5), ms(15), ms(40)),
};

/** Live rounds where the pre-copy policy is ours and no other limit was asked for; Clark et al. (Xen 3.0.4) stopped after 29. */
export const ROUNDS_MAX_DEFAULT = 30;

/**
 * The goal of one migration. Throws XthrottleError('usage') for a target that is not positive, a floor out of 1 … 100 × vCPUs, or a floor
 * asked for above the domain's own cap.
 */
export function goalFor(options: GoalOptions, domain: DomainFacts, capabilities: Capabilities, pair: PairOverhead = DEFAULT_PAIR): Goal {
  if (!(options.targetDowntimeMs > 0)) {
    throw new XthrottleError('usage', `the target downtime must be above 0, got ${options.targetDowntimeMs} ms`, {
      hint: 'say for example --target-downtime 200ms',
    });
  }
  const maxStallMs = options.maxStallMs ?? options.targetDowntimeMs;
  const ceiling = capPercent(domain.capOriginal, domain.vcpus);
  const roundsMax = Math.min(options.maxRounds ?? ROUNDS_MAX_DEFAULT, capabilities.roundsMax ?? Number.POSITIVE_INFINITY);
  return {
    targetDowntimeMs: options.targetDowntimeMs,
    maxStallMs,
    capFloorPercent: cpuPercent(
      options.minCapPercent === undefined
        ? Math.min(ceiling, floorFor(maxStallMs, domain.activeVcpus, capabilities.scheduler, capabilities.tsliceMs))
        : checkedFloor(options.minCapPercent, ceiling),
    ),
    capCeilingPercent: ceiling,
    onMiss: options.onMiss ?? 'abort',
    profile: options.profile ?? 'progressive',
    prefer: options.prefer ?? 'downtime',
    ...(options.deadlineMs === undefined ? {} : { deadlineMs: options.deadlineMs }),
    ...(options.maxDirtyPages === undefined ? {} : { maxDirtyPages: options.maxDirtyPages }),
    overheadMs: pair.overheadMs,
    suspendLatencyMs: pair.suspendLatencyMs,
    domain,
    capabilities: { ...capabilities, roundsMax },
    options: options.options ?? {},
  };
}

function checkedFloor(floor: number, ceiling: number): number {
  if (!Number.isInteger(floor) || floor < 1) {
    throw new XthrottleError('usage', `--min-cap must be a whole percentage of at least 1, got ${floor}`, {
      hint: '0 would mean "no cap" to Xen',
    });
  }
  if (floor > ceiling) {
    throw new XthrottleError('usage', `--min-cap ${floor} is above what the domain may use (${ceiling} % of one pCPU)`, {
      hint: `give a floor of at most ${ceiling}`,
    });
  }
  return floor;
}
