import type { Goal } from './goal.ts';
import { type Ms, ms } from './units.ts';

/** One vCPU as the hypervisor tells of it at one moment. */
export interface VcpuReading {
  /** CPU time since the domain's start. */
  readonly cpuTimeMs: number;
  readonly running: boolean;
  /** Idle: it has nothing to run, and waits for an event. */
  readonly blocked: boolean;
}

/** How long each vCPU has been waiting for the CPU at most, as of `atMs`; Infinity while nothing is known. An offline one waits for nothing. */
export interface Standing {
  readonly atMs: number;
  readonly vcpus: readonly { readonly cpuTimeMs: number; readonly atMostMs: number }[];
}

/** Less CPU time than this between two readings is an interrupt on the way to being parked, not the guest at work. */
const RAN_MS = 1;

/**
 * Folds readings of all vCPUs (undefined: offline). A vCPU that used CPU time since the reading before has been waiting no longer than since
 * then, less that time: at worst it ran first and waited after. Anything else is a true upper bound, too: nothing here is a guess.
 */
export function standingAfter(before: Standing | undefined, readings: readonly (VcpuReading | undefined)[], atMs: number): Standing {
  const elapsedMs = before === undefined ? 0 : Math.max(0, atMs - before.atMs);
  const vcpus = readings.map((reading, i) => {
    // Back on line its CPU time is below that: nothing is known of it then.
    if (reading === undefined) return { cpuTimeMs: Number.POSITIVE_INFINITY, atMostMs: 0 };
    const { cpuTimeMs } = reading;
    if (reading.running || reading.blocked) return { cpuTimeMs, atMostMs: 0 };
    const last = before?.vcpus[i];
    if (last === undefined || cpuTimeMs < last.cpuTimeMs) return { cpuTimeMs, atMostMs: Number.POSITIVE_INFINITY };
    const ranMs = cpuTimeMs - last.cpuTimeMs;
    return { cpuTimeMs, atMostMs: ranMs >= RAN_MS ? Math.max(0, elapsedMs - ranMs) : last.atMostMs + elapsedMs };
  });
  return { atMs, vcpus };
}

/** How long any vCPU has been waiting for the CPU at most; undefined while that is not known of one of them. */
export function longestStanding({ vcpus }: Standing): Ms | undefined {
  const longest = Math.max(0, ...vcpus.map(({ atMostMs }) => atMostMs));
  return Number.isFinite(longest) ? ms(longest) : undefined;
}

/**
 * The stall before a suspension: at most `lawMs`, and no longer than a guest that was seen to have been waiting for `atMostMs`, `agoMs` ago, can
 * have stood when it runs again. credit1 lets a parked vCPU run at its next accounting only (csched_acct, once a timeslice), whenever
 * its cap was lifted.
 */
export function boundedStall(lawMs: Ms, atMostMs: number, agoMs: number, { capabilities }: Pick<Goal, 'capabilities'>): Ms {
  const { scheduler, tsliceMs, liftLatencyMs } = capabilities;
  return ms(Math.min(lawMs, atMostMs + agoMs + liftLatencyMs + (scheduler === 'credit' ? tsliceMs : 0)));
}
