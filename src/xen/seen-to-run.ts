import type { VcpuReading } from '../core/standing.ts';
import type { Ms } from '../core/units.ts';
import { monotonicMs } from './clock.ts';

/** So much CPU time and two stalls are two, not one: timers fire and packets are answered in between. */
const RAN_MS = 5;
const LOOK_MS = 2;

export interface SeenToRun {
  /** All vCPUs (undefined: offline); undefined when they cannot be read. */
  readonly vcpus: () => readonly (VcpuReading | undefined)[] | undefined;
  /** No vCPU is to run for longer: what the guest dirties in that time was reckoned with. */
  readonly runMs: Ms;
  /** While none runs nothing is dirtied, and the wait may be longer, up to this. */
  readonly atMostMs: number;
  readonly sleep?: (forMs: number) => Promise<unknown>;
  readonly now?: () => Ms;
}

/**
 * Waits until each vCPU that wants the CPU has had it for a moment. credit1 lets a parked one run at its next accounting only, up to a timeslice
 * after its cap was lifted (csched_acct): a fixed wait may end with the guest not having run at all. `stood`: one did not within its
 * time; `unknown`: that cannot be read here.
 */
export async function seenToRun(options: SeenToRun): Promise<'ran' | 'stood' | 'unknown'> {
  const { vcpus, runMs, atMostMs, sleep = pause, now = monotonicMs } = options;
  const from = vcpus();
  if (from === undefined) return 'unknown';
  let waiting = from.map((vcpu, i) => (vcpu === undefined || vcpu.blocked ? -1 : i)).filter((i) => i >= 0);
  for (const startedAtMs = now(); waiting.length > 0 && now() - startedAtMs < atMostMs; ) {
    await sleep(LOOK_MS);
    const read = vcpus();
    if (read === undefined) return 'unknown';
    const ranMs = read.map((vcpu, i) => (vcpu?.cpuTimeMs ?? 0) - (from[i]?.cpuTimeMs ?? 0));
    waiting = waiting.filter((i) => read[i]?.blocked === false && (ranMs[i] as number) < RAN_MS);
    if (Math.max(...ranMs) >= runMs) break;
  }
  return waiting.length === 0 ? 'ran' : 'stood';
}

const pause = (forMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, forMs));
