import type { VcpuReading } from '../core/standing.ts';
import type { Ms } from '../core/units.ts';
import { monotonicMs } from './clock.ts';

/** So much CPU time and two stalls are two, not one: timers fire and packets are answered in between. */
const RAN_MS = 5;
const LOOK_MS = 2;

export interface SeenToRun {
  /** All vCPUs (undefined: offline); undefined when they cannot be read. */
  readonly vcpus: () => readonly (VcpuReading | undefined)[] | undefined;
  readonly atMostMs: number;
  readonly sleep?: (forMs: number) => Promise<unknown>;
  readonly now?: () => Ms;
}

/**
 * Waits until each vCPU that wants the CPU has had it for a moment. credit1 lets a parked one run at its next accounting only, up to a timeslice
 * after its cap was lifted (csched_acct): a fixed wait may end with the guest not having run at all. `stood`: not within `atMostMs`;
 * `unknown`: that cannot be read here.
 */
export async function seenToRun({ vcpus, atMostMs, sleep = pause, now = monotonicMs }: SeenToRun): Promise<'ran' | 'stood' | 'unknown'> {
  const from = vcpus();
  if (from === undefined) return 'unknown';
  for (const startedAtMs = now(); now() - startedAtMs < atMostMs; ) {
    await sleep(LOOK_MS);
    const read = vcpus();
    if (read === undefined) return 'unknown';
    if (read.every((vcpu, i) => vcpu === undefined || vcpu.blocked || hasRun(vcpu, from[i]))) return 'ran';
  }
  return 'stood';
}

/** One that was offline at first began with nothing. */
const hasRun = (vcpu: VcpuReading, from: VcpuReading | undefined): boolean => vcpu.cpuTimeMs - (from?.cpuTimeMs ?? 0) >= RAN_MS;

const pause = (forMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, forMs));
