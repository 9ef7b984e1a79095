import { messageOf } from '../core/errors.ts';
import { INCOMING, listDomains, listRows } from './domain.ts';
import type { RestoreOutcome } from './restore.ts';
import { type SaveProcess, saveProcesses } from './save-processes.ts';
import { printable, quoted, type RunXl, xlOutput } from './xl-errors.ts';

/**
 * Destroys the half of a guest (`NAME--incoming`) that a lost migration left on this host, with which no further one succeeds. Only one
 * that never ran and that nobody receives: one that runs, or has run, may be the guest itself. Never throws.
 */
export async function destroyHalf(
  name: string,
  xl: RunXl,
  processes: () => readonly SaveProcess[] = () => saveProcesses(),
): Promise<RestoreOutcome> {
  const half = name.endsWith(INCOMING) ? name : `${name}${INCOMING}`;
  const base = { kind: 'half' as const, what: printable(half), before: null, after: null, original: null };
  try {
    // By JSON: names in xl's table are not quoted.
    const found = (await listDomains(xl)).find((domain) => domain.name === half);
    if (found === undefined) return { ...base, verdict: 'gone', text: 'there is none here' };
    const { domid, uuid } = found;
    const at = { ...base, domid, uuid };
    const rows = (await listRows(xl)).filter((row) => row.domid === domid);
    if (rows.length === 0 || !rows.every(({ state, cpuSeconds }) => state.includes('p') && cpuSeconds === 0)) {
      const text = 'it runs, or has run: it may be the guest itself, and stays';
      return { ...at, verdict: 'failed', text, hint: 'look at both hosts (xl list) which of the two is to go on' };
    }
    const busy = processes().find(
      ({ kind, domid: of }) => kind === 'receiver' || (kind === 'restore' && (of === undefined || of === domid)),
    );
    if (busy !== undefined) {
      const who = busy.kind === 'receiver' ? 'an xl migrate-receive' : 'a restore helper';
      return {
        ...at,
        verdict: 'in-use',
        text: `it stays: ${who} (pid ${busy.pid}) may be receiving it`,
        hint: 'again when that has ended',
      };
    }
    await xlOutput(xl, ['destroy', String(domid)]);
    if ((await listDomains(xl)).some((domain) => domain.domid === domid && domain.uuid === uuid))
      return { ...at, verdict: 'failed', text: 'xl destroyed it, but it is still there', hint: `xl destroy ${domid}` };
    return { ...at, verdict: 'restored', text: 'the half that a lost migration had left is destroyed: the next one finds its place free' };
  } catch (error) {
    return { ...base, verdict: 'failed', text: messageOf(error), hint: `xl list; xl destroy ${quoted(half)}` };
  }
}
