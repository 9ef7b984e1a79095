import { capToXen, showCap } from '../core/cap.ts';
import { messageOf } from '../core/errors.ts';
import { isCapping, readCap } from './cap-calls.ts';
import { AWAY, findDomain, isSuspendedRow, listDomains, listRows } from './domain.ts';
import { openXenctrl, type Xenctrl } from './libxenctrl.ts';
import type { Logged } from './log-dirty.ts';
import type { DomainRow } from './parse.ts';
import type { DomainConfig } from './parse-domains.ts';
import type { RestoreOutcome } from './restore.ts';
import type { ResumeCall } from './resume-call.ts';
import { mayBeSaving, type SaveProcess, saveProcesses } from './save-processes.ts';
import { printable, quoted, type RunXl } from './xl-errors.ts';

/** What is asked of the system; tests stand in for it. */
export interface ResumeSystem {
  open(): ReturnType<typeof openXenctrl>;
  processes(): readonly SaveProcess[];
  sleep(ms: number): Promise<void>;
}

export const RESUME_SYSTEM: ResumeSystem = {
  open: () => openXenctrl(),
  processes: () => saveProcesses(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

/** The command that resumes a domain by hand. */
export const resumeCommand = (domid: number): string => `xthrottle restore ${domid} --resume`;

const VERIFY_TRIES = 5;
const VERIFY_MS = 200;

type Base = Pick<RestoreOutcome, 'kind' | 'what' | 'uuid' | 'domid' | 'before' | 'after' | 'original'>;

/**
 * Resumes a guest that a lost migration left suspended, as xl does when its migration fails. The caller answers for its not running at the
 * destination; all else is looked at first: that this very domain (domid and UUID) stands suspended, that no migration or save has it, that
 * it does not run under another domid of this host, and that it has no device model, which would have to be resumed as well. Afterwards its
 * state and cap are read back. Never throws.
 */
export async function resumeDomain(domain: Logged, xl: RunXl, system: ResumeSystem = RESUME_SYSTEM): Promise<RestoreOutcome> {
  const { domid, uuid } = domain;
  const base: Base = { kind: 'resume', what: printable(domain.name), uuid, domid, before: null, after: null, original: null };
  const failed = (text: string, hint: string): RestoreOutcome => ({ ...base, verdict: 'failed', text, hint });
  try {
    const config = (await listDomains(xl)).find((each) => each.domid === domid && each.uuid === uuid);
    const rows = await listRows(xl);
    const row = rows.findLast((each) => each.domid === domid && each.uuid === uuid);
    if (row === undefined || config === undefined) return { ...base, verdict: 'gone', text: 'the domain is not on this host any more' };
    if (!isSuspendedRow(row)) return { ...base, verdict: 'already', text: 'it is not suspended' };
    const refusal = refusalOf(config, domain, rows, base, system);
    if (refusal !== undefined) return refusal;
    const called = await call(domid, system);
    if (typeof called !== 'string')
      return failed(`it stands suspended and was not resumed: ${called.reason}`, `again: ${resumeCommand(domid)}`);
    if (!(await runs(domain, xl, system)))
      return failed('Xen resumed it, but xl list shows it suspended still', `again: ${resumeCommand(domid)}`);
    const after = await capOf(config, xl);
    const text = [
      'it was suspended and runs again',
      ...(after === undefined ? [] : [`its cap is ${showCap(after)}`]),
      ...(called === 'untold' ? ['xenstored could not be told, and may not notice its next shutdown or suspension'] : []),
    ].join('; ');
    const name = config.name.endsWith(AWAY) ? { hint: `xl rename ${domid} ${quoted(config.name.slice(0, -AWAY.length))}` } : {};
    return { ...base, verdict: 'restored', after: after === undefined ? null : capToXen(after), text, ...name };
  } catch (error) {
    return failed(printable(messageOf(error)), `xl list; then ${resumeCommand(domid)}`);
  }
}

/**
 * By its exact name, domid or UUID: one that xl has renamed (`NAME--migratedaway`) was most likely permitted to start at the destination, and
 * whoever resumes it here has to mean just that one. Never throws.
 */
export async function resumeNamed(wanted: string, xl: RunXl, system: ResumeSystem = RESUME_SYSTEM): Promise<RestoreOutcome> {
  try {
    return await resumeDomain(findDomain(await listDomains(xl), wanted), xl, system);
  } catch (error) {
    const base: Base = { kind: 'resume', what: printable(wanted), before: null, after: null, original: null };
    return { ...base, verdict: 'failed', text: printable(messageOf(error)), hint: 'xl list' };
  }
}

/** Why a suspended domain must not, or cannot, be resumed by us. */
function refusalOf(
  config: DomainConfig,
  domain: Logged,
  rows: readonly DomainRow[],
  base: Base,
  system: ResumeSystem,
): RestoreOutcome | undefined {
  const { domid, uuid, type } = config;
  const twins = rows.filter((row) => row.uuid === uuid && row.domid !== domid);
  const twin = twins.find(({ state, cpuSeconds }) => !(state.includes('p') && cpuSeconds === 0) && !isSuspendedRow({ state }));
  if (twin !== undefined) {
    const text = `it stays suspended: domain ${twin.domid} of this host is the same guest, and runs or has run`;
    return { ...base, verdict: 'failed', text, hint: `look which of the two is to go on (xl list -v); if the other: xl destroy ${domid}` };
  }
  if (type !== 'pvh' && type !== 'pv') {
    const text =
      type === 'hvm'
        ? 'it stays suspended: it is an HVM guest, whose device model was stopped with it and would have to go on at the same moment'
        : 'it stays suspended: xl does not tell whether it is a PV or PVH guest';
    return {
      ...base,
      verdict: 'failed',
      text,
      hint: `xl resume ${domid} where this xl knows it (4.20 on); else xl destroy ${domid}, and start it anew`,
    };
  }
  const isIncoming = ({ kind }: SaveProcess): boolean => twins.length > 0 && (kind === 'receiver' || kind === 'restore');
  // Under both its names, should xl have renamed it.
  const busy = system.processes().find((process) => mayBeSaving(process, config) || mayBeSaving(process, domain) || isIncoming(process));
  if (busy === undefined) return undefined;
  const text = `it stays suspended: ${wordsOf(busy)} (pid ${busy.pid}) may have it`;
  return { ...base, verdict: 'in-use', text, hint: `when that has ended: ${resumeCommand(domid)}` };
}

const WORDS: Readonly<Record<SaveProcess['kind'], string>> = {
  save: 'a save helper',
  restore: 'a restore helper',
  toolstack: 'an xl that migrates or saves it',
  receiver: 'an xl migrate-receive',
  foreign: "another toolstack's save helper",
};

export const wordsOf = ({ kind }: SaveProcess): string => WORDS[kind];

async function call(domid: number, system: ResumeSystem): Promise<ResumeCall> {
  const opened = await system.open();
  if ('reason' in opened) return { reason: `libxenctrl cannot be used: ${opened.reason}` };
  const xc: Xenctrl = opened.xc;
  try {
    return xc.resume?.(domid) ?? { reason: 'this libxenctrl cannot do it' };
  } finally {
    xc.close();
  }
}

/** One that was suspended anew, or is gone, was resumed, too: it is seen to have run where it is not seen suspended once. */
async function runs({ domid, uuid }: Logged, xl: RunXl, system: ResumeSystem): Promise<boolean> {
  for (let n = 1; ; n++) {
    const row = (await listRows(xl)).findLast((each) => each.domid === domid && each.uuid === uuid);
    if (row === undefined || !isSuspendedRow(row)) return true;
    if (n >= VERIFY_TRIES) return false;
    await system.sleep(VERIFY_MS);
  }
}

const capOf = ({ domid, scheduler }: DomainConfig, xl: RunXl) =>
  isCapping(scheduler) ? readCap(xl, domid, scheduler).catch(() => undefined) : Promise.resolve(undefined);
