import { messageOf } from '../core/errors.ts';
import { listDomains } from './domain.ts';
import type { BalloonEntry } from './journal-entry.ts';
import { type RunXl, xlOutput } from './xl-errors.ts';

/** `xl list -l` says a constant more than `xl mem-set` was given for an HVM guest whose maximum is above its memory (LIBXL_MAXMEM_CONSTANT). */
const FUDGE_KIB = 1024;

const isNear = (a: number, b: number): boolean => Math.abs(a - b) <= FUDGE_KIB;

/** The memory targets of all domains of that UUID, by domid. Throws XthrottleError as xl does. */
export async function targetsOf(uuid: string, xl: RunXl): Promise<readonly { readonly domid: number; readonly targetKib: number }[]> {
  return (await listDomains(xl)).filter((domain) => domain.uuid === uuid);
}

export const memSetArgs = (domid: number, kib: number): readonly string[] => ['mem-set', String(domid), `${kib}k`];

/** Sets the memory target until `xl list -l` reads `kib`. Throws XthrottleError when xl refuses, Error when it does not stick. */
export async function setTarget(domid: number, uuid: string, kib: number, xl: RunXl): Promise<void> {
  const read = async () => (await targetsOf(uuid, xl)).find((domain) => domain.domid === domid)?.targetKib;
  await xlOutput(xl, memSetArgs(domid, kib));
  let now = await read();
  if (now !== undefined && now !== kib && isNear(now, kib)) {
    await xlOutput(xl, memSetArgs(domid, kib - (now - kib)));
    now = await read();
  }
  if (now !== kib) throw new Error(`xl set the memory target to ${kib} KiB, but it reads ${now === undefined ? 'nothing' : `${now} KiB`}`);
}

/** What became of a domain's memory target; the numbers are KiB. */
export type TargetRestored =
  | { readonly verdict: 'gone' }
  | { readonly verdict: 'already' | 'restored' | 'changed-by-other'; readonly before: number; readonly after: number }
  | { readonly verdict: 'failed'; readonly before: number | null; readonly text: string };

/** Gives the memory back wherever the domain of that entry is on this host and its target is one that we set. Never throws. */
export async function restoreTarget(entry: BalloonEntry, xl: RunXl): Promise<TargetRestored> {
  let before: number | null = null;
  try {
    const found = await targetsOf(entry.uuid, xl);
    // A migration on one host has two domains of one UUID for a while: only the one we changed can have a target of ours.
    const changed = found.find(({ domid, targetKib }) => isOurs(entry, targetKib) && (domid === entry.domid || found.length === 1));
    const shown = changed ?? found.find(({ domid }) => domid === entry.domid) ?? found[0];
    if (shown === undefined) return { verdict: 'gone' };
    before = shown.targetKib;
    if (changed === undefined)
      return { verdict: before === entry.targetOriginalKib ? 'already' : 'changed-by-other', before, after: before };
    await setTarget(changed.domid, entry.uuid, entry.targetOriginalKib, xl);
    return { verdict: 'restored', before, after: entry.targetOriginalKib };
  } catch (error) {
    return { verdict: 'failed', before, text: messageOf(error) };
  }
}

const isOurs = (entry: BalloonEntry, kib: number): boolean =>
  kib !== entry.targetOriginalKib && entry.targetsSetKib.some((set) => isNear(set, kib));
