import type { Cap } from './cap.ts';
import type { Estimate } from './estimate.ts';
import { type CpuPercent, type Ms, ms, type Pages, pages } from './units.ts';

export type SchedulerName = 'credit' | 'credit2' | 'other';

/** What the host lets a controller see and do for this migration. */
export interface Capabilities {
  /** The live dirty count can be read inside rounds. */
  readonly peek: boolean;
  /** The pre-copy policy is ours: rounds can go on past five, or stop before. */
  readonly policy: boolean;
  /** Live rounds before the suspend request comes whatever is left (stock Xen: 5); undefined when the policy is ours and no limit was set. */
  readonly roundsMax?: number;
  /** The cap can be changed. */
  readonly actuator: boolean;
  /** From deciding on a cap until it is in force. */
  readonly actuatorLatencyMs: Ms;
  /** The same for the lift at the suspend request. */
  readonly liftLatencyMs: Ms;
  readonly scheduler: SchedulerName;
  /** Credit1's timeslice of the domain's cpupool (Xen's default: 30 ms). */
  readonly tsliceMs: Ms;
  /** How long a guest whose last stall would join its downtime runs before it is suspended; see run-first.ts. */
  readonly runFirstMs: Ms;
}

export interface DomainFacts {
  readonly name: string;
  readonly domid: number;
  readonly uuid: string;
  readonly vcpus: number;
  /** vCPUs that share the cap; at least 1. */
  readonly activeVcpus: number;
  readonly populatedPages: Pages;
  /** The cap the domain had before us; also the highest that may be set. */
  readonly capOriginal: Cap;
}

export type OnMiss = 'abort' | 'proceed';
export type Profile = 'progressive' | 'steep' | 'gradual';
export type Preference = 'downtime' | 'network' | 'safety' | 'speed';

/** What the migration is to achieve and within which bounds: all that a controller knows besides observations. JSON-serialisable, constant during a migration. */
export interface Goal {
  readonly targetDowntimeMs: Ms;
  /** No cap may be set whose stall exceeds this. */
  readonly maxStallMs: Ms;
  /** Lowest cap that may be set, for the whole domain, ≥ 1; follows from maxStallMs or from --min-cap. */
  readonly capFloorPercent: CpuPercent;
  /** Highest sensible cap: the original one, or 100 × vcpus. */
  readonly capCeilingPercent: CpuPercent;
  readonly onMiss: OnMiss;
  readonly profile: Profile;
  readonly prefer: Preference;
  /** From the migration's start; the controller must have finished or aborted by then. */
  readonly deadlineMs?: Ms;
  /** Alternative target: at most so many pages sent after the suspend, all that is dirtied until the guest stands included. */
  readonly maxDirtyPages?: Pages;
  /** Fixed part of the downtime for this pair of hosts: everything but sending the last pages. Learned from migrations. */
  readonly overheadMs: Estimate<Ms>;
  /** From passing the suspend on until the guest stands, with the cap lifted; the guest dirties at full speed meanwhile. */
  readonly suspendLatencyMs: Estimate<Ms>;
  readonly domain: DomainFacts;
  readonly capabilities: Capabilities;
  /** Options of one controller, by name (`--controller-option step=10`). */
  readonly options: Readonly<Record<string, number>>;
}

/** The target in words, in the unit it is judged in. */
export const targetInWords = ({ targetDowntimeMs, maxDirtyPages }: Pick<Goal, 'targetDowntimeMs' | 'maxDirtyPages'>): string =>
  maxDirtyPages === undefined ? `${targetDowntimeMs} ms` : `${maxDirtyPages} pages`;

/** The same goal with so much of its target, whichever it has. */
export const shareOfTarget = (share: number, goal: Goal): Goal =>
  goal.maxDirtyPages === undefined
    ? { ...goal, targetDowntimeMs: ms(share * goal.targetDowntimeMs) }
    : { ...goal, maxDirtyPages: pages(share * goal.maxDirtyPages) };
