import { AWAY, isSuspendedRow, listDomains, listRows } from './domain.ts';
import type { Logged } from './log-dirty.ts';
import { RESUME_SYSTEM, type ResumeSystem, resumeCommand, resumeDomain, wordsOf } from './resume.ts';
import { mayBeSaving } from './save-processes.ts';
import type { RunXl } from './xl-errors.ts';

export interface StrandedOptions {
  /** Its xl was our child, of which we have read everything, and not only observed: it is resumed where it cannot run at the destination. */
  readonly isOurs: boolean;
  /** The receiver was permitted to start it, or may have been. */
  readonly mayRunThere: boolean;
  /** The receiver told that it did. */
  readonly runsThere?: boolean;
  /** It may still be about to suspend: it was asked to, and nobody is left to take that back. */
  readonly mayYetSuspend: boolean;
  /** Ends what a dead xl of ours has left at work on it; false when that process is not of it. */
  readonly endRest?: (pid: number) => boolean;
  readonly system?: ResumeSystem;
  /** Told to stop looking. */
  readonly signal?: AbortSignal;
}

/** A guest that its migration has left suspended, and what became of it, in words with what to do. */
export interface Stranded {
  readonly resumed: boolean;
  /** It could not be resumed. */
  readonly failed?: true;
  readonly text: string;
}

const LOOK_MS = 1000;
const LOOKS_MAX = 45;
/** Looks that xl did not answer; one may take its whole time limit. */
const UNKNOWN_MAX = 10;
/** xl resumes the guest itself when its migration fails; it is left alone until it has stood for so many looks in a row with nobody at it. */
const STANDS_LOOKS = 3;
/** Where the toolstack is not our child it may have more to do than we can see. */
const STANDS_LOOKS_OTHERS = 6;
/** A guest answers a suspend request within a tenth of a second, under load within a few. */
const RUNS_LOOKS = 8;

/** What xl leaves ends by itself when it next tells xl something; it does not while it waits for a dead link. */
const BUSY_LOOKS = 6;

const TRIES = 3;

const STANDS = 'THE GUEST STANDS SUSPENDED HERE';

/**
 * Looks after a guest whose migration has failed: xl that was killed while it stood leaves it suspended, and nobody resumes it. It is
 * resumed here where that is safe: xl was ours and had not permitted the receiver to start it, which starts nothing without. Otherwise it is
 * said with what to do. What a dead xl of ours left at work on it is ended first. undefined: it does not stand, or is gone. Never throws.
 */
export async function lookAfter(domain: Logged, xl: RunXl, options: StrandedOptions): Promise<Stranded | undefined> {
  const { system = RESUME_SYSTEM, signal } = options;
  let seen: Seen = { as: 'unknown' };
  let failure: Stranded | undefined;
  for (let look = 1, stands = 0, busy = 0, runs = 0, unknown = 0, failures = 0; look <= LOOKS_MAX; look++) {
    if (look > 1) await system.sleep(LOOK_MS);
    if (signal?.aborted === true) return seen.as === 'stands' || seen.as === 'busy' ? unclear(seen, domain.domid) : undefined;
    seen = await lookAt(domain, xl, system);
    if (seen.as === 'gone') return undefined;
    if (seen.as === 'unknown' && ++unknown >= UNKNOWN_MAX) break;
    if (seen.as === 'busy' && ++busy >= BUSY_LOOKS && options.isOurs && !options.mayRunThere) options.endRest?.(seen.pid);
    stands = seen.as === 'stands' ? stands + 1 : 0;
    if (seen.as === 'runs' && (++runs >= RUNS_LOOKS || !options.mayYetSuspend)) return undefined;
    if (seen.as !== 'stands' || stands < (options.isOurs ? STANDS_LOOKS : STANDS_LOOKS_OTHERS)) continue;
    const ended = await act(domain, xl, options, seen.renamed, system);
    if (ended === 'again') continue;
    if (ended?.failed !== true || ++failures >= TRIES) return ended;
    failure = ended;
  }
  return failure ?? unclear(seen, domain.domid);
}

type Seen =
  | { readonly as: 'gone' | 'runs' | 'unknown' }
  /** `renamed`: xl had come as far as its permission to start, or is just before it. */
  | { readonly as: 'stands'; readonly renamed: boolean }
  | { readonly as: 'busy'; readonly pid: number; readonly who: string };

async function lookAt(domain: Logged, xl: RunXl, system: ResumeSystem): Promise<Seen> {
  const { domid, uuid } = domain;
  try {
    const row = (await listRows(xl)).findLast((each) => each.domid === domid && each.uuid === uuid);
    if (row === undefined) return { as: 'gone' };
    if (!isSuspendedRow(row)) return { as: 'runs' };
    const busy = system.processes().find((process) => mayBeSaving(process, domain));
    if (busy !== undefined) return { as: 'busy', pid: busy.pid, who: `${wordsOf(busy)} (pid ${busy.pid})` };
    const config = (await listDomains(xl)).find((each) => each.domid === domid && each.uuid === uuid);
    return config === undefined ? { as: 'unknown' } : { as: 'stands', renamed: config.name.endsWith(AWAY) };
  } catch {
    return { as: 'unknown' };
  }
}

async function act(
  domain: Logged,
  xl: RunXl,
  { isOurs, mayRunThere, runsThere }: StrandedOptions,
  renamed: boolean,
  system: ResumeSystem,
): Promise<Stranded | undefined | 'again'> {
  const { domid } = domain;
  const command = resumeCommand(domid);
  if (runsThere === true)
    return {
      resumed: false,
      text: `the guest runs at the destination, and xl did not live to remove what stands suspended here: xl destroy ${domid}`,
    };
  if (mayRunThere || renamed) return { resumed: false, text: `${STANDS}, and may run at the destination. ${bothHosts(domid)}` };
  // Its helper was cut off, too: log-dirty is on.
  if (!isOurs) return { resumed: false, text: `${STANDS}: nowhere let start, and nobody resumes it. ${command} --log-dirty` };
  const { verdict, text, hint } = await resumeDomain(domain, xl, system);
  switch (verdict) {
    case 'restored':
      return { resumed: true, text: `the guest was left suspended, nowhere let start, and xthrottle resumed it here: ${text}` };
    case 'in-use':
      return 'again';
    case 'already':
    case 'gone':
      return undefined;
    default:
      return { resumed: false, failed: true, text: `${STANDS}: ${text}. ${hint ?? command}` };
  }
}

const bothHosts = (domid: number): string =>
  `Look at both hosts (xl list): if it runs there, xl destroy ${domid} here; only if it does not, ${resumeCommand(domid)}`;

function unclear(seen: Seen, domid: number): Stranded | undefined {
  switch (seen.as) {
    case 'busy':
      return { resumed: false, text: `${STANDS}, and ${seen.who} has it still. Should that end and leave it so: ${bothHosts(domid)}` };
    case 'unknown':
    case 'stands':
      return { resumed: false, text: `whether the guest stands suspended here cannot be read. If it does (---ss-): ${bothHosts(domid)}` };
    default:
      return undefined;
  }
}
