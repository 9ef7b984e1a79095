import { type Cap, capFromXen, capToXen } from '../core/cap.ts';
import { XthrottleError } from '../core/errors.ts';
import { parseSched, parseTslices } from './parse.ts';
import { type RunXl, xlOutput } from './xl-errors.ts';

export type CappingScheduler = 'credit' | 'credit2';

export const isCapping = (scheduler: string): scheduler is CappingScheduler => scheduler === 'credit' || scheduler === 'credit2';

const subcommand = (scheduler: CappingScheduler): string => (scheduler === 'credit' ? 'sched-credit' : 'sched-credit2');

/** The cap in force, read with xl. Throws XthrottleError: `noDomain`, `noCap` (another scheduler), `noXl`, `unexpected`. */
export async function readCap(run: RunXl, domid: number, scheduler: CappingScheduler): Promise<Cap> {
  const output = await xlOutput(run, [subcommand(scheduler), '-d', String(domid)]);
  const row = parseSched(output, domid);
  if (row === undefined) {
    throw new XthrottleError('noDomain', `xl ${subcommand(scheduler)} shows no domain ${domid}`, {
      hint: 'xl list shows the domains of this host',
    });
  }
  return capFromXen(row.cap);
}

/**
 * Sets the cap with xl; not read back. xl parses with atoi, so only a whole number in Xen's range ever reaches it.
 * Throws RangeError for a cap above 100 × vcpus, XthrottleError as `readCap`.
 */
export async function writeCap(run: RunXl, domid: number, scheduler: CappingScheduler, cap: Cap, vcpus: number): Promise<void> {
  const args = writeCapArgs(domid, scheduler, checkedCap(cap, vcpus));
  const output = await xlOutput(run, args);
  // xl says nothing when it has done it.
  if (output.trim() !== '') throw new XthrottleError('unexpected', `xl ${args.join(' ')} answered ${JSON.stringify(output.slice(0, 80))}`);
}

export const writeCapArgs = (domid: number, scheduler: CappingScheduler, cap: Cap): readonly string[] => [
  subcommand(scheduler),
  '-d',
  String(domid),
  '-c',
  String(capToXen(cap)),
];

/** The cap itself if Xen takes it: a whole percentage in 1 … 100 × vcpus, or none. Throws RangeError otherwise. */
export function checkedCap(cap: Cap, vcpus: number): Cap {
  if (cap.kind === 'uncapped') return cap;
  if (!Number.isInteger(cap.percent) || cap.percent < 1 || cap.percent > 100 * vcpus) {
    throw new RangeError(`a cap is a whole percentage in 1…${100 * vcpus}, got ${cap.percent}`);
  }
  return cap;
}

/** Credit1's timeslice of a cpupool in milliseconds; undefined where xl cannot read it (not a credit1 pool). */
export async function readTslice(run: RunXl, pool: string): Promise<number | undefined> {
  return parseTslices(await xlOutput(run, ['sched-credit', '-s', '-p', pool])).get(pool);
}

/** Sets it, for every domain of the pool. Throws RangeError outside Xen's 1…1000 ms, XthrottleError when xl refuses. */
export async function writeTslice(run: RunXl, pool: string, tsliceMs: number): Promise<void> {
  if (!Number.isInteger(tsliceMs) || tsliceMs < 1 || tsliceMs > 1000)
    throw new RangeError(`a timeslice is 1…1000 whole ms, got ${tsliceMs}`);
  await xlOutput(run, ['sched-credit', '-s', '-p', pool, '-t', String(tsliceMs)]);
}
