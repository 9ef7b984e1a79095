import type { Owner } from './owner.ts';
import { isUuid } from './parse-domains.ts';

export const JOURNAL_VERSION = 1;

/** A domain's cap that we are about to change or have changed. Numbers are Xen's: 0 is no cap. */
export interface CapEntry {
  readonly v: typeof JOURNAL_VERSION;
  readonly kind: 'cap';
  readonly uuid: string;
  readonly domid: number;
  readonly name: string;
  readonly scheduler: 'credit' | 'credit2';
  readonly capOriginal: number;
  /** Every cap that we may have set: only such a cap is ours to undo. */
  readonly capsSet: readonly number[];
  readonly owner: Owner;
}

/**
 * The timeslice of a credit1 cpupool, in milliseconds, as one process wants it. Several may want one at the same time, so each has an entry
 * of its own, and whoever is last puts the original back.
 */
export interface TsliceEntry {
  readonly v: typeof JOURNAL_VERSION;
  readonly kind: 'tslice';
  readonly pool: string;
  readonly tsliceOriginalMs: number;
  /** What this process set, or found set by another; the last is what it wants. */
  readonly tslicesSetMs: readonly number[];
  /** It does not want it any more, and is about to put it back. */
  readonly leaving?: boolean;
  readonly owner: Owner;
}

/** The memory target of a domain that is smaller while it migrates, in KiB as `xl list -l` says it. */
export interface BalloonEntry {
  readonly v: typeof JOURNAL_VERSION;
  readonly kind: 'balloon';
  readonly uuid: string;
  readonly domid: number;
  readonly name: string;
  readonly targetOriginalKib: number;
  readonly targetsSetKib: readonly number[];
  readonly owner: Owner;
}

/** A domain whose log-dirty mode a probe has turned on, or is about to. */
export interface LogDirtyEntry {
  readonly v: typeof JOURNAL_VERSION;
  readonly kind: 'logdirty';
  readonly uuid: string;
  readonly domid: number;
  readonly name: string;
  readonly owner: Owner;
}

export type JournalEntry = CapEntry | TsliceEntry | BalloonEntry | LogDirtyEntry;

/** The file of an entry: by UUID, so that two processes on one domain meet there; of a pool each process has its own. */
export function fileOf(entry: JournalEntry): string {
  if (entry.kind !== 'tslice') return `${entry.kind}-${entry.uuid}.json`;
  return `tslice-${Buffer.from(entry.pool).toString('hex')}-${entry.owner.pid}-${entry.owner.startTicks}.json`;
}

type Fields = Readonly<Record<string, unknown>>;
const CAP_MAX = 65_534;
/** 64 TiB. */
const KIB_MAX = 2 ** 36;
const whole = (value: unknown, most: number): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most;
const wholes = (value: unknown, most: number): value is readonly number[] => Array.isArray(value) && value.every((n) => whole(n, most));

function ownerOf(value: unknown): Owner | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { pid, startTicks, bootId } = value as Fields;
  return whole(pid, 2 ** 31) && whole(startTicks, Number.MAX_SAFE_INTEGER) && typeof bootId === 'string'
    ? { pid, startTicks, bootId }
    : undefined;
}

/** The entry in a journal file; undefined for anything that is not exactly one (a torn write, another version, another program's file). */
export function parseEntry(text: string): JournalEntry | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const {
    v,
    kind,
    uuid,
    domid,
    name,
    scheduler,
    capOriginal,
    capsSet,
    pool,
    tsliceOriginalMs,
    tslicesSetMs,
    leaving,
    targetOriginalKib,
    targetsSetKib,
    owner: by,
  } = value as Fields;
  const owner = ownerOf(by);
  if (v !== JOURNAL_VERSION || owner === undefined) return undefined;
  if (kind === 'cap' || kind === 'logdirty') {
    if (!isUuid(uuid) || !whole(domid, 65_535) || typeof name !== 'string') return undefined;
    if (kind === 'logdirty') return { v, kind, uuid, domid, name, owner };
    if (scheduler !== 'credit' && scheduler !== 'credit2') return undefined;
    if (!whole(capOriginal, CAP_MAX) || !wholes(capsSet, CAP_MAX)) return undefined;
    return { v, kind, uuid, domid, name, scheduler, capOriginal, capsSet, owner };
  }
  if (kind === 'balloon') {
    if (!isUuid(uuid) || !whole(domid, 65_535) || typeof name !== 'string') return undefined;
    if (!whole(targetOriginalKib, KIB_MAX) || targetOriginalKib < 1 || !wholes(targetsSetKib, KIB_MAX)) return undefined;
    return { v, kind, uuid, domid, name, targetOriginalKib, targetsSetKib, owner };
  }
  if (kind !== 'tslice' || typeof pool !== 'string' || pool === '') return undefined;
  // Xen's own limits: XEN_SYSCTL_CSCHED_TSLICE_MIN and _MAX.
  if (!whole(tsliceOriginalMs, 1000) || tsliceOriginalMs < 1 || !wholes(tslicesSetMs, 1000) || tslicesSetMs.length === 0) return undefined;
  return { v, kind, pool, tsliceOriginalMs, tslicesSetMs, ...(leaving === true ? { leaving } : {}), owner };
}
