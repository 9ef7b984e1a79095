import { readdirSync, readFileSync } from 'node:fs';

/**
 * The pids of calls of xl that set the cap of a domain (`of` its domid) or the timeslice of a cpupool (its name) and have not ended: a
 * process that dies does not end its calls (each is a session of its own), and one that hangs in the hypervisor may take effect much later.
 */
export function callsUnderWay(of: number | string, proc = '/proc'): readonly number[] {
  let names: readonly string[];
  try {
    names = readdirSync(proc);
  } catch {
    return [];
  }
  const isIt = typeof of === 'number' ? isCapCall : isTsliceCall;
  return names.filter((name) => /^\d+$/.test(name) && isIt(argumentsOf(`${proc}/${name}`), String(of))).map(Number);
}

function argumentsOf(folder: string): readonly string[] {
  try {
    const words = readFileSync(`${folder}/cmdline`, 'utf8').split('\0');
    const at = words.findIndex((word) => word === 'sched-credit' || word === 'sched-credit2');
    return at < 1 ? [] : words.slice(at + 1);
  } catch {
    // It has ended.
    return [];
  }
}

/** `… sched-credit -d DOMID -c CAP`, whatever runs it. */
const isCapCall = (words: readonly string[], domid: string): boolean => words.includes('-c') && words[words.indexOf('-d') + 1] === domid;

/** `… sched-credit -s -p POOL -t MS` */
const isTsliceCall = (words: readonly string[], pool: string): boolean =>
  words.includes('-t') && words.includes('-s') && words[words.indexOf('-p') + 1] === pool;
