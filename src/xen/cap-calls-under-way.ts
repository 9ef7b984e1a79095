import { readdirSync, readFileSync } from 'node:fs';

/**
 * The pids of calls of xl that set a cap of `domid` and have not ended: a process that dies does not end its calls (each is a session of
 * its own), and one that hangs in the hypervisor may take effect much later.
 */
export function capCallsUnderWay(domid: number, proc = '/proc'): readonly number[] {
  let names: readonly string[];
  try {
    names = readdirSync(proc);
  } catch {
    return [];
  }
  return names.filter((name) => /^\d+$/.test(name) && isCapCall(argumentsOf(`${proc}/${name}`), domid)).map(Number);
}

function argumentsOf(folder: string): readonly string[] {
  try {
    return readFileSync(`${folder}/cmdline`, 'utf8').split('\0');
  } catch {
    // It has ended.
    return [];
  }
}

/** `… sched-credit -d DOMID -c CAP`, whatever runs it. */
function isCapCall(words: readonly string[], domid: number): boolean {
  const at = words.findIndex((word) => word === 'sched-credit' || word === 'sched-credit2');
  if (at < 1) return false;
  const rest = words.slice(at + 1);
  return rest.includes('-c') && rest[rest.indexOf('-d') + 1] === String(domid);
}
