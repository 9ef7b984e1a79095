import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { XthrottleError } from '../core/errors.ts';
import type { ProbeLook } from '../core/probe.ts';
import { type Ms, ms, pages } from '../core/units.ts';
import { monotonicMs } from './clock.ts';
import { startGuard } from './guard.ts';
import { createJournal, type Journal, stateDirectory } from './journal.ts';
import { fileOf, JOURNAL_VERSION, type LogDirtyEntry } from './journal-entry.ts';
import type { LogDirty, Xenctrl } from './libxenctrl.ts';
import { type Logged, type Released, type ReleaseSystem, releaseLogDirty } from './log-dirty.ts';
import { thisProcess } from './owner.ts';
import { mayBeSaving, type SaveProcess, saveProcesses } from './save-processes.ts';
import { printable } from './xl-errors.ts';

export interface ProbeOptions {
  readonly domain: Logged & { readonly vcpus: number };
  readonly xenctrl: Xenctrl;
  readonly durationMs: Ms;
  /** Ends the probe early; what was seen so far counts. */
  readonly signal?: AbortSignal;
  readonly onLook?: (look: ProbeLook) => void;
  readonly note?: (text: string) => void;
  /** Journal and guard; default: `stateDirectory()`. */
  readonly directory?: string;
  /** Stand-ins for tests. */
  readonly journal?: Journal;
  readonly guard?: (directory: string) => ReturnType<typeof startGuard>;
  readonly processes?: () => readonly SaveProcess[];
  readonly system?: ReleaseSystem;
}

export interface Probed {
  readonly looks: readonly ProbeLook[];
  /** `migration`: one began meanwhile; `domain`: it went away, or Xen stopped answering. */
  readonly ended: 'complete' | 'signal' | 'migration' | 'domain';
  readonly released: Released;
  /** Share of the time that looks took, the guest paused for at most that long. */
  readonly lookShare: number;
}

/** Looks follow each other by a growing share of the time so far: the curve is steep at its start. */
const LOOK_GROWTH = 0.1;
const LOOK_MS_MIN = 20;
const LOOK_MS_MAX = 250;
/** A look and all that follows may take a tenth of the time. */
const LOOK_SHARE = 0.1;
/** How often it is looked for migrations. */
const PROCESSES_MS = 500;

/**
 * Turns log-dirty on, looks at the dirty count while it grows, and turns it off again on every path: a journal entry is written before, a
 * guard does it should this process be killed, and `xthrottle restore` should the guard be, too. Under a migration nothing is turned off:
 * see `releaseLogDirty`. Throws XthrottleError when it cannot begin: nothing is changed then.
 */
export async function probeDomain(options: ProbeOptions): Promise<Probed> {
  const { domain, xenctrl } = options;
  const { logDirty } = xenctrl;
  if (logDirty === undefined || xenctrl.dirtyPages(domain.domid) === undefined) {
    throw new XthrottleError('noXl', `${xenctrl.library} does not answer for ${printable(domain.name)}`, { hint: 'xthrottle doctor' });
  }
  const processes = options.processes ?? (() => saveProcesses());
  refuseUnderMigration(domain, processes());
  const directory = options.directory ?? stateDirectory();
  const guard = await (options.guard ?? ((path: string) => startGuard({ directory: path })))(directory);
  if ('reason' in guard) options.note?.(`no guard (${guard.reason}): should the probe be killed, run xthrottle restore`);
  const journal = options.journal ?? createJournal(directory);
  const entry: LogDirtyEntry = {
    v: JOURNAL_VERSION,
    kind: 'logdirty',
    uuid: domain.uuid,
    domid: domain.domid,
    name: domain.name,
    owner: thisProcess(),
  };
  try {
    const written = await journal.write(entry);
    if (!written.ok) throw unwritten(domain, written);
    return await watched(options, logDirty, processes, () => journal.remove(entry));
  } finally {
    // With an entry left (a migration has log-dirty now) the guard stays: our end sets it to work.
    if (!('reason' in guard) && !existsSync(join(directory, fileOf(entry)))) await guard.dismiss();
  }
}

async function watched(
  options: ProbeOptions,
  logDirty: LogDirty,
  processes: () => readonly SaveProcess[],
  forget: () => Promise<void>,
): Promise<Probed> {
  const { domain, xenctrl } = options;
  // The counter is not reset when log-dirty goes on; an empty log begins there all the same.
  const baseline = xenctrl.dirtyPages(domain.domid) ?? 0;
  const cpuAtStart = xenctrl.cpu(domain.domid, domain.vcpus)?.cpuTimeMs;
  const enabled = logDirty.enable(domain.domid);
  if (enabled !== 'enabled') {
    await forget();
    throw refusal(domain, enabled);
  }
  const startedAtMs = monotonicMs();
  let result: Pick<Probed, 'looks' | 'ended' | 'lookShare'> | undefined;
  let released: Released;
  try {
    result = await looksAt(options, processes, { baseline, cpuAtStart, startedAtMs });
  } finally {
    released =
      result?.ended === 'migration'
        ? { result: 'in-use', text: 'a migration of it began: log-dirty is that migration’s now, which turns it off at its end' }
        : releaseLogDirty(domain, logDirty, options.system);
    // A domain that is gone took its log-dirty mode with it.
    if (released.result === 'off' || released.result === 'ended-migration' || result?.ended === 'domain') await forget();
  }
  return { ...result, released };
}

interface Start {
  readonly baseline: number;
  readonly cpuAtStart: Ms | undefined;
  readonly startedAtMs: Ms;
}

async function looksAt(
  options: ProbeOptions,
  processes: () => readonly SaveProcess[],
  { baseline, cpuAtStart, startedAtMs }: Start,
): Promise<Pick<Probed, 'looks' | 'ended' | 'lookShare'>> {
  const { domain, xenctrl, durationMs, signal } = options;
  const looks: ProbeLook[] = [];
  let [stale, highest, lookedMs, processesAtMs] = [baseline, 0, 0, startedAtMs as number];
  const ended = (why: Probed['ended']) => ({ looks, ended: why, lookShare: lookedMs / Math.max(1, monotonicMs() - startedAtMs) });
  for (;;) {
    const atMs = monotonicMs();
    const count = xenctrl.dirtyPages(domain.domid);
    const cpu = xenctrl.cpu(domain.domid, domain.vcpus)?.cpuTimeMs;
    const tookMs = monotonicMs() - atMs;
    lookedMs += tookMs;
    if (count === undefined) return ended('domain');
    // Below what it was before us: this Xen did reset it.
    if (looks.length === 0 && count < stale) stale = 0;
    // Only somebody who reads and clears the log makes the count fall.
    if (count - stale < highest) return ended('migration');
    highest = count - stale;
    const timeMs = ms(atMs + tookMs / 2 - startedAtMs);
    const look: ProbeLook = {
      timeMs,
      dirtyPages: pages(highest),
      ...(cpu === undefined || cpuAtStart === undefined ? {} : { cpuMs: ms(cpu - cpuAtStart) }),
    };
    looks.push(look);
    options.onLook?.(look);
    if (atMs - processesAtMs >= PROCESSES_MS) {
      processesAtMs = atMs;
      if (processes().some((process) => mayBeSaving(process, domain))) return ended('migration');
    }
    const leftMs = durationMs - (monotonicMs() - startedAtMs);
    if (leftMs <= 0) return ended('complete');
    const pauseMs = Math.max(tookMs / LOOK_SHARE, Math.min(LOOK_MS_MAX, Math.max(LOOK_MS_MIN, LOOK_GROWTH * timeMs)));
    await pause(Math.min(leftMs, pauseMs), signal);
    if (signal?.aborted === true) return ended('signal');
  }
}

function pause(forMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', over);
      resolve();
    };
    const timer = setTimeout(over, forMs);
    if (signal?.aborted === true) over();
    else signal?.addEventListener('abort', over, { once: true });
  });
}

function refuseUnderMigration(domain: Logged, running: readonly SaveProcess[]): void {
  const busy = running.find((process) => mayBeSaving(process, domain));
  if (busy === undefined) return;
  throw new XthrottleError(
    'noDomain',
    `${printable(domain.name)} is being migrated or saved (pid ${busy.pid}): log-dirty is that migration's`,
    {
      hint: 'wait until it has ended; xthrottle watch shows its dirty curve meanwhile',
    },
  );
}

function refusal(domain: Logged, enabled: 'refused' | { readonly errno: number }): XthrottleError {
  const name = printable(domain.name);
  if (enabled !== 'refused') {
    return new XthrottleError('unexpected', `Xen did not turn log-dirty on for ${name} (errno ${enabled.errno})`, {
      hint: 'xl dmesg may say why',
    });
  }
  return new XthrottleError('noDomain', `Xen refuses to log the dirty pages of ${name}: it is logging them already, or it cannot`, {
    hint: `a guest with a passed-through device cannot be logged, nor migrated; the display of an HVM guest logs, too; left by a killed migration: xthrottle restore ${domain.domid} --log-dirty`,
  });
}

function unwritten(domain: Logged, written: { readonly why: 'owned' | 'unwritable'; readonly text: string }): XthrottleError {
  if (written.why === 'owned')
    return new XthrottleError('noDomain', `${printable(domain.name)} is being probed already`, { hint: 'wait until that has ended' });
  return new XthrottleError('unexpected', `nothing is turned on that could not be turned off: ${written.text}`, {
    hint: 'xthrottle doctor; xthrottle restore',
  });
}
