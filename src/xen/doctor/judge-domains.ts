/** Judges of the domains that are here and of the clock. Pure. */
import type { Finding } from '../../core/finding.ts';
import type { DomainConfig } from '../parse-domains.ts';
import { mayBeSaving, type SaveProcess } from '../save-processes.ts';
import { printable, quoted } from '../xl-errors.ts';
import { note, ok, problem, warning } from './judge-host.ts';

/**
 * What lost migrations leave: the receiving half (which makes every later migration of that domain here fail), a source not destroyed, and a
 * guest that stands. `suspended`: domids.
 */
export function judgeHalves(
  domains: readonly DomainConfig[],
  running: readonly SaveProcess[],
  suspended: ReadonlySet<number> = new Set(),
): readonly Finding[] {
  const check = 'lost migrations';
  const findings = domains.flatMap((domain): readonly Finding[] => {
    const { name, domid } = domain;
    const shown = printable(name);
    const busy = running.some((run) => run.domid === domid);
    if (name.endsWith('--incoming')) {
      if (busy) return [ok(check, `${shown} is being received`)];
      const base = name.slice(0, -'--incoming'.length);
      const found = `${shown} was left by a lost migration: every further migration of ${printable(base)} to this host fails`;
      return [problem(check, found, `if none is just ending: xthrottle restore ${quoted(base)} --half`)];
    }
    if (!name.endsWith('--migratedaway')) {
      if (!suspended.has(domid) || running.some((run) => mayBeSaving(run, domain))) return [];
      const todo = `unless somebody suspended it on purpose (xl suspend), and if it runs nowhere else (xl list at its destination): xthrottle restore ${domid} --resume`;
      return [problem(check, `${shown} stands suspended, and no migration or save has it: nobody resumes it`, todo)];
    }
    if (busy) return [ok(check, `${shown} is just being handed over`)];
    const todo = `if it runs at its destination (xl list there): xl destroy ${domid}`;
    return [warning(check, `${shown} was migrated away, but is still here and keeps its memory`, todo)];
  });
  return findings.length === 0 ? [ok(check, 'no half of one is here, and no guest that stands')] : findings;
}

/** PV guests cannot be migrated live without shadow paging. */
export function judgePv(domains: readonly DomainConfig[], virtCaps: readonly string[]): readonly Finding[] {
  const pv = domains.filter((domain) => domain.domid !== 0 && domain.type === 'pv').map((domain) => printable(domain.name));
  if (pv.length === 0 || virtCaps.includes('shadow')) return [];
  const found = `this Xen has no shadow paging: PV guests cannot be migrated live at all (${pv.join(', ')})`;
  return [warning('PV guests', found, 'type="pvh" in their configuration, or a Xen built with shadow paging')];
}

/**
 * Whether Xen logs a domain's dirty pages, and how that is known: two peeks that grow, or Xen's own dump (`--deep`). Growth proves it on;
 * a count that stands still proves nothing.
 */
export interface LogDirtyFacts {
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
  readonly state: 'on' | 'off' | 'unknown';
}

/** `how`: by Xen's own dump, by two peeks, or not at all (no libxenctrl). */
export function judgeLogDirty(
  facts: readonly LogDirtyFacts[],
  running: readonly SaveProcess[],
  how: 'dump' | 'peeks' | 'not-at-all',
): readonly Finding[] {
  const check = 'log-dirty';
  if (how === 'not-at-all')
    return [note(check, 'domains left with log-dirty on are not seen without libxenctrl; Xen itself knows', 'xthrottle doctor --deep')];
  const left = facts.filter((domain) => domain.state === 'on' && !running.some((run) => mayBeSaving(run, domain)));
  if (left.length > 0) {
    return left.map(({ domid, name }) =>
      warning(
        check,
        `${printable(name)}: Xen logs its dirty pages though no migration runs, which costs it speed (left by a migration or a probe that was killed)`,
        `its next migration ends that; at once: xthrottle restore ${domid} --log-dirty`,
      ),
    );
  }
  if (how === 'dump') return [ok(check, 'on for no domain without a migration, as Xen says')];
  return [
    ok(
      check,
      facts.length === 0
        ? 'no guest is here'
        : 'no dirty count grows without a migration (a count that stands still says little: --deep asks Xen)',
    ),
  ];
}

/** The kernel's own clock state, and how the wall clock ran against the monotonic one while we looked. */
export interface ClockFacts {
  /** undefined: cannot be asked. */
  readonly synchronised: boolean | undefined;
  /** Estimated by the kernel, µs. */
  readonly maxErrorUs?: number;
  readonly stepMs: number;
  readonly overMs: number;
}

/** The wall clock is slewed by at most 500 ppm; more than this in a second is a step. */
const STEP_MS = 20;

export function judgeClock({ synchronised, maxErrorUs, stepMs, overMs }: ClockFacts): Finding {
  const check = 'clock';
  if (Math.abs(stepMs) > STEP_MS) {
    const found = `the wall clock jumped by ${Math.round(stepMs)} ms within ${Math.round(overMs)} ms`;
    return warning(
      check,
      found,
      'chronyc tracking, timedatectl; control goes by the monotonic clock and is not affected, guests see the jump',
    );
  }
  if (synchronised === undefined) return note(check, 'whether it is synchronised cannot be told here', 'timedatectl');
  if (!synchronised) {
    const found = 'not synchronised: a gap that a guest measures across two hosts contains the difference of their clocks';
    return warning(check, found, 'timedatectl set-ntp true, or run chrony in dom0 of both hosts');
  }
  return ok(check, `synchronised${maxErrorUs === undefined ? '' : `, at most ${Math.max(1, Math.round(maxErrorUs / 1000))} ms off`}`);
}
