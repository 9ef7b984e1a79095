import { capFromXen, capToXen, showCap } from '../core/cap.ts';
import { messageOf } from '../core/errors.ts';
import { memSetArgs, restoreTarget } from './balloon-target.ts';
import { callsUnderWay } from './calls-under-way.ts';
import { isCapping, readCap, writeCap, writeCapArgs } from './cap-calls.ts';
import { findDomain, listDomains, listRows } from './domain.ts';
import { isTaken, type JournalFs, type JournalListing, latestOf, readJournals, removeEntry, stateDirectory } from './journal.ts';
import {
  type BalloonEntry,
  type CapEntry,
  fileOf,
  JOURNAL_VERSION,
  type JournalEntry,
  type LogDirtyEntry,
  type TsliceEntry,
} from './journal-entry.ts';
import { type LogDirtyRestored, restoreLogDirty } from './log-dirty.ts';
import { isAlive, type Owner, sameOwner, thisProcess } from './owner.ts';
import { type DomainConfig, parseDomains } from './parse-domains.ts';
import { settleTslice } from './tslice-pool.ts';
import { printable, quoted, type RunXl, xlOutput } from './xl-errors.ts';

export type RestoreVerdict =
  /** Put back and read back. */
  | 'restored'
  /** It had its own value already; a guest was not suspended. */
  | 'already'
  /** No domain of that UUID is here: migrated away, or ended. */
  | 'gone'
  /** The value is none that we set: somebody else's wins. */
  | 'changed-by-other'
  /** A migration that runs has it: log-dirty it turns off itself (to do it under it would corrupt the copy), a half it is about to start. */
  | 'in-use'
  /** The xthrottle that set it is alive and will do it. */
  | 'owner-alive'
  | 'failed'
  /** A journal that cannot be read, kept as NAME.corrupt. */
  | 'corrupt';

export interface RestoreOutcome {
  readonly kind: 'cap' | 'tslice' | 'balloon' | 'logdirty' | 'half' | 'resume' | 'file';
  /** The domain's name, the cpupool or the file, printable. */
  readonly what: string;
  readonly uuid?: string;
  readonly domid?: number;
  readonly verdict: RestoreVerdict;
  /** Xen's numbers: caps (0 = none), milliseconds or KiB; null where it could not be read. */
  readonly before: number | null;
  readonly after: number | null;
  readonly original: number | null;
  /** One sentence for people. */
  readonly text: string;
  /** When something is left to do: the command that does it. */
  readonly hint?: string;
}

export interface RestoreOptions {
  readonly xl: RunXl;
  readonly directory?: string;
  /** Also what a living xthrottle holds; it sees somebody else's change then and lets go of the domain. */
  readonly all?: boolean;
  /** Only what this process wrote, dead or not: the guard's parent. */
  readonly owner?: Owner;
  /** Only the domain of this name, domid or UUID. */
  readonly domain?: string;
  readonly attempts?: number;
  /** Looks again after so long before the journal is dropped: a call of the dead process may still have been under way. */
  readonly settleMs?: number;
  readonly sleep?: (ms: number) => Promise<void>;
  readonly fs?: JournalFs;
  /** How log-dirty is turned off; default: through libxenctrl. */
  readonly logDirty?: (entry: LogDirtyEntry, xl: RunXl) => Promise<LogDirtyRestored>;
  /** Whether a process lives, and which calls that set a domid's cap or a cpupool's timeslice have not ended; default: as this host's /proc says. */
  readonly lives?: (owner: Owner) => boolean;
  readonly callsUnderWay?: (of: number | string) => readonly number[];
}

const ATTEMPTS = 3;
const RETRY_MS = 250;
/** A living owner looks every two seconds whether somebody else has changed the cap. */
const LIVING_SETTLE_MS = 2500;

/** True when a cap or timeslice that we set, or log-dirty mode, may still be in force. */
export const isLeft = ({ kind, verdict }: RestoreOutcome): boolean =>
  verdict === 'failed' || verdict === 'corrupt' || (kind === 'resume' && verdict === 'in-use');

/**
 * Puts back what dead processes left: for each journal whose owner is really dead, where the UUID is still here and the value is one that
 * we set. Verified by reading back, retried, and reported one by one; a journal is dropped only when nothing of ours is left in force.
 */
export async function restoreLeftovers(options: RestoreOptions): Promise<readonly RestoreOutcome[]> {
  const directory = options.directory ?? stateDirectory();
  const listing = await readAll(directory, options);
  const outcomes: RestoreOutcome[] = [
    ...listing.corrupt.map((name) => corruptOutcome(directory, name)),
    ...listing.failed.map((name) => unreadableOutcome(directory, name)),
  ];
  for (const entry of listing.entries.filter((e) => isWanted(e, options))) outcomes.push(await restoreEntry(entry, directory, options));
  return outcomes;
}

const pause = (options: RestoreOptions): ((ms: number) => Promise<void>) =>
  options.sleep ?? ((ms) => new Promise<void>((resolve) => setTimeout(resolve, ms)));

/** What cannot be read now (EIO, out of descriptors) is read again; files that were found corrupt before stay in the report. */
async function readAll(directory: string, options: RestoreOptions): Promise<JournalListing> {
  const attempts = options.attempts ?? ATTEMPTS;
  const corrupt = new Set<string>();
  for (let attempt = 1; ; attempt++) {
    try {
      const listing = await readJournals(directory, options.fs);
      for (const name of listing.corrupt) corrupt.add(name);
      if (listing.failed.length === 0 || attempt >= attempts) return { ...listing, corrupt: [...corrupt] };
    } catch (error) {
      if (attempt >= attempts) throw error;
    }
    await pause(options)(RETRY_MS * 2 ** Math.min(attempt - 1, 6));
  }
}

function isWanted(entry: JournalEntry, options: RestoreOptions): boolean {
  if (options.owner !== undefined && !sameOwner(entry.owner, options.owner)) return false;
  const { domain } = options;
  return domain === undefined || (entry.kind !== 'tslice' && [entry.name, entry.uuid, String(entry.domid)].includes(domain));
}

async function restoreEntry(entry: JournalEntry, directory: string, options: RestoreOptions): Promise<RestoreOutcome> {
  // It may change the value once more before it sees ours, and needs its entry for that; then it lets go and removes it.
  const living = options.owner === undefined && (options.lives ?? isAlive)(entry.owner);
  if (options.all !== true && living) {
    return outcome(entry, 'owner-alive', null, null, `xthrottle with pid ${entry.owner.pid} is alive and will put it back`);
  }
  const sleep = pause(options);
  // After a pause the domain may be another xthrottle's, with a journal of its own.
  const taken = () => isTaken(directory, entry, options.fs);
  const restoreOnce = async () => restoreOf(living ? await latestOf(directory, entry, options.fs) : entry, directory, options);
  let result = unlessUnderWay(entry, await restoreOnce(), options);
  for (let attempt = 1; attempt < (options.attempts ?? ATTEMPTS) && result.verdict === 'failed'; attempt++) {
    await sleep(RETRY_MS * 2 ** Math.min(attempt - 1, 6));
    if ((await taken()) === true) return outcome(entry, 'owner-alive', null, null, 'another xthrottle has taken it over');
    result = unlessUnderWay(entry, await restoreOnce(), options);
  }
  const settleMs = options.settleMs ?? (living ? LIVING_SETTLE_MS : undefined);
  if (settleMs !== undefined && result.verdict !== 'failed' && entry.kind !== 'logdirty') {
    await sleep(settleMs);
    if ((await taken()) === true) return result;
    const again = await restoreOnce();
    if (again.verdict !== 'already') result = again;
  }
  const stays = living || result.verdict === 'failed' || result.verdict === 'in-use';
  if (!stays && (await taken()) === false) await forget(entry, directory, options.fs);
  return result;
}

/** While a call of the dead process is under way (it may hang in the hypervisor), its cap may still come into force. */
function unlessUnderWay(entry: JournalEntry, result: RestoreOutcome, options: RestoreOptions): RestoreOutcome {
  if ((entry.kind !== 'cap' && entry.kind !== 'tslice') || result.verdict === 'failed' || result.verdict === 'gone') return result;
  const [pid] = (options.callsUnderWay ?? callsUnderWay)(entry.kind === 'cap' ? entry.domid : entry.pool);
  if (pid === undefined) return result;
  const text = `${result.text}; but a call of xl (pid ${pid}) is under way and may still change it`;
  return { ...failed(entry, result.before, text), after: result.after, hint: 'when that has ended: xthrottle restore' };
}

/** An entry that stays is harmless: its values are not in force, and the next restore finds that out. */
const forget = (entry: JournalEntry, directory: string, fs: JournalFs | undefined): Promise<void> =>
  removeEntry(directory, fileOf(entry), fs).catch(() => undefined);

function restoreOf(entry: JournalEntry, directory: string, options: RestoreOptions): Promise<RestoreOutcome> {
  switch (entry.kind) {
    case 'cap':
      return restoreCapEntry(entry, options.xl);
    case 'tslice':
      return restoreTsliceEntry(entry, options, directory);
    case 'balloon':
      return restoreBalloonEntry(entry, options.xl);
    case 'logdirty':
      return restoreLogDirtyEntry(entry, options);
  }
}

/** What one entry says, put back once; the file stays. Never throws. */
export async function restoreCapEntry(entry: CapEntry, xl: RunXl): Promise<RestoreOutcome> {
  const results: RestoreOutcome[] = [];
  try {
    for (const domain of await domainsOf(entry, xl)) results.push(await restoreCapOf(entry, domain, xl));
  } catch (error) {
    return failed(entry, null, messageOf(error));
  }
  // A migration on one host has two domains of one UUID for a while: the worst result speaks for both.
  const order: readonly RestoreVerdict[] = ['failed', 'restored', 'changed-by-other', 'already'];
  const worst = order.map((verdict) => results.find((r) => r.verdict === verdict)).find((r) => r !== undefined);
  return worst ?? outcome(entry, 'gone', null, null, 'the domain is not on this host any more');
}

interface Found {
  readonly domid: number;
  readonly scheduler: 'credit' | 'credit2';
  readonly vcpus: number;
}

/** The domains of that UUID. A domain whose configuration xl cannot list (it is being built or destroyed) is found by its table row. */
async function domainsOf(entry: CapEntry, xl: RunXl): Promise<readonly Found[]> {
  const listed = (await listDomains(xl)).filter((domain) => domain.uuid === entry.uuid);
  if (listed.length > 0) return listed.map((domain) => foundOf(domain, entry));
  const row = (await listRows(xl)).find((r) => r.uuid === entry.uuid && r.domid === entry.domid);
  return row === undefined ? [] : [{ domid: row.domid, scheduler: entry.scheduler, vcpus: Math.max(1, row.vcpus) }];
}

const foundOf = (domain: DomainConfig, entry: CapEntry): Found => ({
  domid: domain.domid,
  scheduler: isCapping(domain.scheduler) ? domain.scheduler : entry.scheduler,
  vcpus: domain.vcpusMax,
});

async function restoreCapOf(entry: CapEntry, domain: Found, xl: RunXl): Promise<RestoreOutcome> {
  const original = capFromXen(entry.capOriginal);
  const at = { ...entry, domid: domain.domid };
  let before: number | null = null;
  try {
    const now = await readCap(xl, domain.domid, domain.scheduler);
    before = capToXen(now);
    if (before === entry.capOriginal) return outcome(at, 'already', before, before, `the cap is ${showCap(original)}, as it was`);
    if (!entry.capsSet.includes(before)) {
      return outcome(
        at,
        'changed-by-other',
        before,
        before,
        `the cap is ${showCap(now)}, which is not ours: it stays (it was ${showCap(original)})`,
      );
    }
    await writeCap(xl, domain.domid, domain.scheduler, original, domain.vcpus);
    const after = await readCap(xl, domain.domid, domain.scheduler);
    if (capToXen(after) !== entry.capOriginal) return failed(at, before, `xl set the cap, but it reads ${showCap(after)}`);
    return outcome(at, 'restored', before, entry.capOriginal, `the cap was ${showCap(now)} and is ${showCap(original)} again`);
  } catch (error) {
    return failed(at, before, messageOf(error));
  }
}

async function restoreTsliceEntry(entry: TsliceEntry, options: RestoreOptions, directory: string): Promise<RestoreOutcome> {
  try {
    const settled = await settleTslice(entry, options.xl, { directory, fs: options.fs, lives: options.lives });
    if (settled.verdict === 'gone') return outcome(entry, 'gone', null, null, 'the cpupool is gone, or runs another scheduler');
    const { before } = settled;
    if (settled.verdict === 'changed-by-other')
      return outcome(entry, settled.verdict, before, before, `the timeslice is ${before} ms, which is not ours: it stays`);
    const { after, shared, verdict } = settled;
    const as = shared ? 'as another migration of the pool wants it' : verdict === 'already' ? 'as it was' : 'again';
    const text = verdict === 'already' ? `the timeslice is ${after} ms, ${as}` : `the timeslice was ${before} ms and is ${after} ms ${as}`;
    return outcome(entry, verdict, before, after, text);
  } catch (error) {
    return failed(entry, null, messageOf(error));
  }
}

async function restoreBalloonEntry(entry: BalloonEntry, xl: RunXl): Promise<RestoreOutcome> {
  const result = await restoreTarget(entry, xl);
  const mib = (kib: number): string => `${Math.round(kib / 1024)} MiB`;
  switch (result.verdict) {
    case 'gone':
      return outcome(entry, 'gone', null, null, 'the domain is not on this host any more');
    case 'failed':
      return failed(entry, result.before, result.text);
    case 'already':
      return outcome(entry, 'already', result.before, result.after, `its memory target is ${mib(result.after)}, as it was`);
    case 'restored':
      return outcome(
        entry,
        'restored',
        result.before,
        result.after,
        `its memory target was ${mib(result.before)} and is ${mib(result.after)} again`,
      );
    case 'changed-by-other':
      return outcome(
        entry,
        result.verdict,
        result.before,
        result.after,
        `its memory target is ${mib(result.before)}, which is not ours: it stays`,
      );
  }
}

/**
 * Turns log-dirty off for the domain that `wanted` means (domid, name or UUID), whoever left it on: a killed migration leaves no journal.
 * Throws XthrottleError('noDomain').
 */
export async function restoreLogDirtyOf(wanted: string, xl: RunXl): Promise<RestoreOutcome> {
  const { domid, uuid, name } = findDomain(parseDomains(await xlOutput(xl, ['list', '-l'])), wanted);
  return restoreLogDirtyEntry({ v: JOURNAL_VERSION, kind: 'logdirty', domid, uuid, name, owner: thisProcess() }, { xl });
}

async function restoreLogDirtyEntry(entry: LogDirtyEntry, options: RestoreOptions): Promise<RestoreOutcome> {
  const { verdict, text } = await (options.logDirty ?? restoreLogDirty)(entry, options.xl);
  return verdict === 'failed' ? failed(entry, null, text) : outcome(entry, verdict, null, null, text);
}

const failed = (entry: JournalEntry, before: number | null, text: string): RestoreOutcome => ({
  ...outcome(entry, 'failed', before, null, text),
  hint: `by hand: ${commandOf(entry)}`,
});

function commandOf(entry: JournalEntry): string {
  switch (entry.kind) {
    case 'cap':
      return `xl ${writeCapArgs(entry.domid, entry.scheduler, capFromXen(entry.capOriginal)).join(' ')}`;
    case 'tslice':
      return `xl sched-credit -s -t ${entry.tsliceOriginalMs} -p ${quoted(entry.pool)}`;
    case 'logdirty':
      return `xthrottle restore ${entry.domid} --log-dirty; its next migration turns it off, too`;
    case 'balloon':
      return `xl ${memSetArgs(entry.domid, entry.targetOriginalKib).join(' ')}`;
  }
}

function outcome(entry: JournalEntry, verdict: RestoreVerdict, before: number | null, after: number | null, text: string): RestoreOutcome {
  const common = { verdict, before, after, text };
  if (entry.kind === 'tslice') return { kind: 'tslice', what: printable(entry.pool), original: entry.tsliceOriginalMs, ...common };
  const original = entry.kind === 'cap' ? entry.capOriginal : entry.kind === 'balloon' ? entry.targetOriginalKib : null;
  return { kind: entry.kind, what: printable(entry.name), uuid: entry.uuid, domid: entry.domid, original, ...common };
}

const corruptOutcome = (directory: string, name: string): RestoreOutcome => ({
  kind: 'file',
  what: name,
  verdict: 'corrupt',
  before: null,
  after: null,
  original: null,
  text: `the journal ${name} cannot be read: kept as ${name}.corrupt`,
  hint: `look at ${directory}/${name}.corrupt and at xl sched-credit, and put the cap back by hand`,
});

const unreadableOutcome = (directory: string, name: string): RestoreOutcome => ({
  kind: 'file',
  what: name,
  verdict: 'failed',
  before: null,
  after: null,
  original: null,
  text: `the journal ${name} cannot be read now`,
  hint: `look at ${directory}, then: xthrottle restore`,
});
