import { readFileSync } from 'node:fs';

/** Which process wrote a journal: a pid alone may be somebody else's by now. */
export interface Owner {
  readonly pid: number;
  /** Start time in clock ticks since boot (/proc/PID/stat, field 22). */
  readonly startTicks: number;
  readonly bootId: string;
}

export const bootId = (proc = '/proc'): string => {
  try {
    return readFileSync(`${proc}/sys/kernel/random/boot_id`, 'utf8').trim();
  } catch {
    return 'unknown';
  }
};

/** A process that lives. */
export interface ProcessSeen {
  readonly pid: number;
  readonly parent: number;
  /** Its process group. */
  readonly group: number;
  readonly startTicks: number;
}

/** The process of that pid; undefined when there is none, or only its zombie is left. */
export function processSeen(pid: number, proc = '/proc'): ProcessSeen | undefined {
  let stat: string;
  try {
    stat = readFileSync(`${proc}/${pid}/stat`, 'latin1');
  } catch {
    return undefined;
  }
  // The second field is the program's name in parentheses, and may hold anything.
  const after = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, parent, group, startTicks] = [after[0], Number(after[1]), Number(after[2]), Number(after[19])];
  return state === 'Z' || state === 'X' || !Number.isSafeInteger(startTicks) ? undefined : { pid, parent, group, startTicks };
}

/** Start time of a process that lives. */
export const startTicksOf = (pid: number, proc = '/proc'): number | undefined => processSeen(pid, proc)?.startTicks;

export const thisProcess = (): Owner => ({ pid: process.pid, startTicks: startTicksOf(process.pid) ?? 0, bootId: bootId() });

/** The process of that pid, if it lives. */
export function processOf(pid: number | undefined): Owner | undefined {
  const startTicks = pid === undefined ? undefined : startTicksOf(pid);
  return pid === undefined || startTicks === undefined ? undefined : { pid, startTicks, bootId: bootId() };
}

export const isAlive = (owner: Owner): boolean => owner.bootId === bootId() && startTicksOf(owner.pid) === owner.startTicks;

export const sameOwner = (a: Owner, b: Owner): boolean => a.pid === b.pid && a.startTicks === b.startTicks && a.bootId === b.bootId;
