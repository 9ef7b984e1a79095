import { accessSync, constants, readFileSync } from 'node:fs';
import { messageOf, XthrottleError } from '../../core/errors.ts';
import type { SchedulerName } from '../../core/goal.ts';
import { isCapping } from '../cap-calls.ts';
import { runningXenVersion, type Xenctrl } from '../libxenctrl.ts';
import type { DomainConfig } from '../parse-domains.ts';
import { type RunXl, xlError } from '../xl-errors.ts';
import type { ClockFacts, LogDirtyFacts } from './judge-domains.ts';
import type { XenctrlFacts, XenFacts, XlFacts } from './judge-host.ts';

/** The edge: reads the host. Nothing here throws for what it finds, and nothing changes anything. */
export const gatherXen = (): XenFacts => ({
  uid: process.getuid?.() ?? 0,
  version: runningXenVersion(),
  capabilities: textOf('/proc/xen/capabilities'),
});

export function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** stdout of a call that may fail; undefined then. */
export async function xlText(xl: RunXl, args: readonly string[]): Promise<string | undefined> {
  const result = await xl(args).catch(() => undefined);
  return result?.ok === true ? result.stdout : undefined;
}

/** `xl list -l`, and whether xl works at all. */
export async function gatherXl(xl: RunXl): Promise<{ readonly facts: XlFacts; readonly list: string | undefined }> {
  try {
    const args = ['list', '-l'];
    const result = await xl(args);
    if (!result.ok) throw xlError(args, result);
    return { facts: { works: true, callMs: result.tookMs }, list: result.stdout };
  } catch (error) {
    const hint = error instanceof XthrottleError ? error.hint : undefined;
    return { facts: { works: false, text: messageOf(error), ...(hint === undefined ? {} : { hint }) }, list: undefined };
  }
}

/** Where the front looks for libxl's own helper, in its order. */
export const helperPaths = (version: string | undefined): readonly string[] => [
  ...(process.env['XTHROTTLE_REAL_HELPER'] === undefined ? [] : [process.env['XTHROTTLE_REAL_HELPER']]),
  ...[
    ...(version === undefined ? [] : [`/usr/lib/xen-${version}/bin`]),
    '/usr/libexec/xen/bin',
    '/usr/lib/xen/bin',
    '/usr/lib64/xen/bin',
    '/usr/local/libexec/xen/bin',
    '/usr/local/lib/xen/bin',
    '/usr/local/lib64/xen/bin',
  ].map((folder) => `${folder}/libxl-save-helper`),
];

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export function gatherXenctrl(
  opened: { readonly xc: Xenctrl } | { readonly reason: string },
  guests: readonly DomainConfig[],
): XenctrlFacts {
  if ('reason' in opened) return { loaded: false, reason: opened.reason };
  const { xc } = opened;
  const schedulerOf = (guest: DomainConfig): SchedulerName => (isCapping(guest.scheduler) ? guest.scheduler : 'other');
  const peeks = guests.filter((guest) => xc.dirtyPages(guest.domid) !== undefined).length;
  const caps = guests.filter((guest) => schedulerOf(guest) === 'other' || xc.getCap(guest.domid, schedulerOf(guest)) !== undefined).length;
  return { loaded: true, library: xc.library, guests: guests.length, peeks, caps };
}

/** Two peeks this far apart: a domain that is logged and writes something new in between has a higher count. */
export const PEEKS_APART_MS = 700;

/** By two peeks: a count that grows is being logged. `before` was read `PEEKS_APART_MS` ago. */
export const peekAll = (xc: Xenctrl, guests: readonly DomainConfig[]): ReadonlyMap<number, number | undefined> =>
  new Map(guests.map(({ domid }) => [domid, xc.dirtyPages(domid)]));

export function grownSince(
  before: ReadonlyMap<number, number | undefined>,
  after: ReadonlyMap<number, number | undefined>,
  guests: readonly DomainConfig[],
): readonly LogDirtyFacts[] {
  return guests.map(({ domid, name, uuid }) => {
    const [a, b] = [before.get(domid), after.get(domid)];
    return { domid, name, uuid, state: a !== undefined && b !== undefined && b > a ? 'on' : 'unknown' };
  });
}

/** STA_UNSYNC of adjtimex(2). */
const UNSYNCHRONISED = 0x40;

/** The kernel's clock state through adjtimex (which only reads, with modes 0), and the wall clock against the monotonic one since `mark`. */
export async function gatherClock(mark: ClockMark): Promise<ClockFacts> {
  const now = markClock();
  const overMs = now.monotonicMs - mark.monotonicMs;
  const common = { stepMs: now.wallMs - mark.wallMs - overMs, overMs };
  try {
    const koffi = (await import('koffi')).default;
    const adjtimex = koffi.load('libc.so.6').func('int adjtimex(uint8_t *timex)');
    // struct timex, 64 bit: uint32 modes; int64 offset, freq, maxerror (at 24), esterror; int status (at 40); 208 bytes in all.
    const timex = Buffer.alloc(256);
    if (Number(adjtimex(timex)) < 0) return { synchronised: undefined, ...common };
    return { synchronised: (timex.readInt32LE(40) & UNSYNCHRONISED) === 0, maxErrorUs: Number(timex.readBigInt64LE(24)), ...common };
  } catch {
    return { synchronised: undefined, ...common };
  }
}

export interface ClockMark {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

export const markClock = (): ClockMark => ({ wallMs: Date.now(), monotonicMs: performance.now() });
