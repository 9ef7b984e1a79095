import { readdirSync, readFileSync } from 'node:fs';
import { type ProcessSeen, processSeen } from './owner.ts';
import { saveProcessOf } from './save-processes.ts';

/** What is asked of the system; tests stand in for it. */
export interface WatchSystem {
  see(pid: number): ProcessSeen | undefined;
  pids(): readonly number[];
  args(pid: number): readonly string[];
}

const SYSTEM: WatchSystem = {
  see: (pid) => processSeen(pid),
  pids: () =>
    readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number),
  args(pid) {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);
    } catch {
      return [];
    }
  },
};

const LOOK_MS = 1000;
/** At the end of a migration it goes as well, after the relay: when we are told late, the helper's last word is on its way to us. */
const CONFIRM_MS = 250;
/** xl starts the receiver before the save helper, and waits for its word: it is there when the relay is, or not on this host. */
const SEARCHES = 3;

/**
 * Calls `onLost` once when the `xl migrate-receive` of a relay's migration has ended, where it is a process of this host: a migration
 * within the host, or through a pipe of one's own. The save helper itself does not notice: an orphaned restore helper goes on reading, and
 * the guest is suspended for nothing. Through OpenSSH the end of the receiver breaks the stream at once, and nobody need watch.
 * The receiver is looked for below the parent of `relayPid`, which is xl.
 */
export function watchReceiver(relayPid: number, onLost: () => void, system: WatchSystem = SYSTEM): { stop(): void } {
  let searches = 0;
  let receiver: ProcessSeen | undefined;
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    if (receiver !== undefined) {
      if (system.see(receiver.pid)?.startTicks !== receiver.startTicks) {
        timer = setTimeout(() => {
          if (system.see(relayPid) !== undefined) onLost();
        }, CONFIRM_MS);
        timer.unref();
        return;
      }
    } else {
      receiver = receiverBelow(system.see(relayPid)?.parent, system);
      if (receiver === undefined && ++searches >= SEARCHES) return;
    }
    timer = setTimeout(look, LOOK_MS);
    timer.unref();
  };
  look();
  return { stop: () => clearTimeout(timer) };
}

/** The receiving xl among the descendants of `root`. */
function receiverBelow(root: number | undefined, system: WatchSystem): ProcessSeen | undefined {
  // Below init is everything: the xl that started it is gone.
  if (root === undefined || root <= 1) return undefined;
  const all = new Map<number, ProcessSeen>();
  for (const pid of system.pids()) {
    const process = system.see(pid);
    if (process !== undefined) all.set(pid, process);
  }
  const descends = ({ parent }: ProcessSeen): boolean => {
    let at: number | undefined = parent;
    for (let depth = 0; at !== undefined && depth < 64; depth++) {
      if (at === root) return true;
      at = all.get(at)?.parent;
    }
    return false;
  };
  return [...all.values()].find(
    (process) => descends(process) && saveProcessOf(process.pid, system.args(process.pid))?.kind === 'receiver',
  );
}
