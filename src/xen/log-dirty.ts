import { messageOf } from '../core/errors.ts';
import { type LogDirty, openXenctrl } from './libxenctrl.ts';
import { startTicksOf } from './owner.ts';
import { parseDomains } from './parse-domains.ts';
import { mayBeSaving, type SaveProcess, saveProcesses } from './save-processes.ts';
import { printable, type RunXl, xlOutput } from './xl-errors.ts';

/** A domain as it is looked for among processes and in Xen. */
export interface Logged {
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
}

/**
 * - `off`.
 * - `in-use`: a migration of it runs, or may: log-dirty is that migration's and stays on.
 * - `ended-migration`: one began in the very moment it went off, and may have missed pages: its save helper was told to end, which leaves the guest here.
 */
export type Released =
  | { readonly result: 'off' }
  | { readonly result: 'in-use'; readonly text: string }
  | { readonly result: 'ended-migration'; readonly text: string }
  | { readonly result: 'failed'; readonly text: string };

/** What is asked of the system; tests stand in for it. */
export interface ReleaseSystem {
  processes(): readonly SaveProcess[];
  terminate(pid: number): void;
  /** When a process was started, ticks since boot; undefined when it is gone. */
  startTicks(pid: number): number | undefined;
  /** Now, in the same ticks. */
  nowTicks(): number;
}

/** Ticks of /proc/PID/stat: a hundred a second on every architecture that Xen runs on. CLOCK_BOOTTIME and CLOCK_MONOTONIC differ only by a host's sleep. */
const TICK_MS = 10;

const SYSTEM: ReleaseSystem = {
  processes: () => saveProcesses(),
  terminate: (pid) => process.kill(pid, 'SIGTERM'),
  startTicks: (pid) => startTicksOf(pid),
  nowTicks: () => Number(process.hrtime.bigint()) / 1e6 / TICK_MS,
};

/** A save helper is started, linked and reads the domain before it turns log-dirty on; one that was started after this much is not ours to worry about. */
const AFTER_TICKS = 1;

/**
 * Turns log-dirty off, unless it belongs to a migration. A migration that starts while it is on gets EINVAL, turns it off and on again
 * (xg_sr_save.c, enable_logdirty), and from then on it is the migration's: to turn it off under it would lose pages, silently. Xen tells
 * nobody whose it is, so the save helpers of this host are looked for before and, since one may have been started in between, after.
 * Synchronous on purpose: nothing of ours comes between the look and the call.
 */
export function releaseLogDirty(domain: Logged, logDirty: LogDirty, system: ReleaseSystem = SYSTEM): Released {
  const using = system.processes().find((process) => mayBeSaving(process, domain));
  if (using !== undefined) return { result: 'in-use', text: `${wordsOf(using)} (pid ${using.pid}) has it now and turns it off at its end` };
  if (!logDirty.disable(domain.domid)) return { result: 'failed', text: `Xen refused to turn log-dirty off for domain ${domain.domid}` };
  const offAtTicks = system.nowTicks();
  const late = system
    .processes()
    .filter((process) => process.kind === 'save' || process.kind === 'foreign')
    .filter(
      (process) => mayBeSaving(process, domain) && (system.startTicks(process.pid) ?? Number.POSITIVE_INFINITY) <= offAtTicks + AFTER_TICKS,
    );
  if (late.length === 0) return { result: 'off' };
  for (const { pid } of late) {
    try {
      system.terminate(pid);
    } catch {
      // ESRCH: it has ended.
    }
  }
  const pids = late.map(({ pid }) => pid).join(', ');
  const text = `a migration began in the moment log-dirty was turned off and may have missed pages: its save helper (pid ${pids}) was ended, the guest runs on here; start it again`;
  return { result: 'ended-migration', text };
}

const wordsOf = ({ kind }: SaveProcess): string =>
  kind === 'toolstack' ? 'an xl that migrates or saves it' : kind === 'save' ? 'a save helper' : "another toolstack's save helper";

/** What restore reports of a domain's log-dirty mode. */
export interface LogDirtyRestored {
  readonly verdict: 'restored' | 'gone' | 'in-use' | 'failed';
  readonly text: string;
}

/** Turns log-dirty off where something that is dead left it on: only for the very domain (domid and UUID), and not under a migration. Never throws. */
export async function restoreLogDirty(entry: Logged, xl: RunXl, open = openXenctrl, system?: ReleaseSystem): Promise<LogDirtyRestored> {
  try {
    const domains = parseDomains(await xlOutput(xl, ['list', '-l']));
    if (!domains.some(({ domid, uuid }) => domid === entry.domid && uuid === entry.uuid))
      return { verdict: 'gone', text: 'the domain is not here any more, and its log-dirty mode went with it' };
    const opened = await open();
    if ('reason' in opened)
      return { verdict: 'failed', text: `log-dirty may still be on, and libxenctrl cannot be used: ${opened.reason}` };
    try {
      if (opened.xc.logDirty === undefined)
        return { verdict: 'failed', text: 'log-dirty may still be on, and this libxenctrl cannot turn it off' };
      const released = releaseLogDirty(entry, opened.xc.logDirty, system);
      if (released.result === 'off') return { verdict: 'restored', text: 'log-dirty is off again' };
      if (released.result === 'ended-migration') return { verdict: 'restored', text: `log-dirty is off again; ${released.text}` };
      return { verdict: released.result, text: released.result === 'in-use' ? `log-dirty stays on: ${released.text}` : released.text };
    } finally {
      opened.xc.close();
    }
  } catch (error) {
    return { verdict: 'failed', text: printable(messageOf(error)) };
  }
}
