import type { SchedulerName } from './goal.ts';
import { type CpuPercent, cpuPercent, type Ms, ms } from './units.ts';

/**
 * The longest time a domain at `percent` stands still because its cap is used up.
 *
 * credit1: tslice × (100/c + 1), c the cap per active vCPU. A vCPU that has overdrawn is parked for tslice × (100/c − 1); one that is
 * just above the limit burns a slice more first, and accounting adds one (Xen: common/sched/credit.c, csched_acct; measured: 64–68 ms
 * at 75 %, 93–110 at 50, 96–161 at 25, 279–310 at 10, 581–642 at 5, with 30 ms).
 *
 * credit2 refills the budget every 10 ms and stalls far less above 25 %: measured 18 ms at 50, 31 at 25, 229 at 10, 406 at 5, 3271 at 2.
 * The bound here is the largest reading at each point, interpolated in 1/c.
 */
export function stallOf(percent: number, activeVcpus: number, scheduler: SchedulerName, tsliceMs: Ms): Ms {
  const perVcpu = percent / Math.max(1, activeVcpus);
  if (perVcpu >= 100) return ms(0);
  if (perVcpu <= 0) return ms(Number.POSITIVE_INFINITY);
  return scheduler === 'credit2' ? credit2Stall(perVcpu) : ms(tsliceMs * (100 / perVcpu + 1));
}

/** (100/c, stall in ms): the largest gaps measured under credit2. */
const CREDIT2_POINTS: readonly (readonly [number, number])[] = [
  [1, 0],
  [2, 18],
  [4, 31],
  [10, 229],
  [20, 406],
  [50, 3271],
];

function credit2Stall(perVcpu: number): Ms {
  const x = 100 / perVcpu;
  for (let i = 1; i < CREDIT2_POINTS.length; i++) {
    const [x0, y0] = CREDIT2_POINTS[i - 1] as readonly [number, number];
    const [x1, y1] = CREDIT2_POINTS[i] as readonly [number, number];
    if (x <= x1) return ms(y0 + ((y1 - y0) * (x - x0)) / (x1 - x0));
  }
  return ms((3271 / 50) * x);
}

/** The lowest whole cap, for the whole domain, whose stall stays within `maxStallMs`; 100 × activeVcpus (no throttling) when none does. */
export function floorFor(maxStallMs: Ms, activeVcpus: number, scheduler: SchedulerName, tsliceMs: Ms): CpuPercent {
  const ceiling = 100 * Math.max(1, activeVcpus);
  for (let percent = 1; percent < ceiling; percent++) {
    if (stallOf(percent, activeVcpus, scheduler, tsliceMs) <= maxStallMs) return cpuPercent(percent);
  }
  return cpuPercent(ceiling);
}
